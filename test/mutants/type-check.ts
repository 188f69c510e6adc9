// Whether a changed file still compiles, by TypeScript's language service: all else stays parsed.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';

export class TypeCheck {
  readonly #root: string;
  readonly #service: ts.LanguageService;
  readonly #importers: (file: string) => readonly string[];
  readonly #files: readonly string[];
  /** The file that has another text than on the disk. */
  #changed: { readonly path: string; readonly text: string } | undefined;
  #version = 0;

  /** @param importers files that import a file and may not compile any more when it changes */
  constructor(root: string, importers: (file: string) => readonly string[]) {
    this.#root = root;
    this.#importers = importers;
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
    const { options, fileNames } = ts.parseJsonConfigFileContent(
      { ...config, include: ['src'] },
      ts.sys,
      root,
    );
    this.#files = fileNames;
    this.#service = ts.createLanguageService({
      getCompilationSettings: () => options,
      getScriptFileNames: () => [...this.#files],
      getScriptVersion: (path) => (this.#isChanged(path) ? String(this.#version) : '0'),
      getScriptSnapshot: (path) => {
        if (!ts.sys.fileExists(path)) return undefined;
        const text = this.#isChanged(path) ? this.#changed!.text : readFileSync(path, 'utf8');
        return ts.ScriptSnapshot.fromString(text);
      },
      getCurrentDirectory: () => root,
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      fileExists: ts.sys.fileExists,
      readFile: ts.sys.readFile,
      readDirectory: ts.sys.readDirectory,
      directoryExists: ts.sys.directoryExists,
      getDirectories: ts.sys.getDirectories,
    });
  }

  #isChanged(path: string): boolean {
    return this.#changed !== undefined && resolve(path) === this.#changed.path;
  }

  /** The first error of a file with another text, or of one that imports it. */
  errorOf(file: string, text: string): string | undefined {
    this.#changed = { path: join(this.#root, file), text };
    this.#version++;
    for (const name of [file, ...this.#importers(file)]) {
      const path = join(this.#root, name);
      const [error] = [
        ...this.#service.getSyntacticDiagnostics(path),
        ...this.#service.getSemanticDiagnostics(path),
      ].filter(({ category }) => category === ts.DiagnosticCategory.Error);
      if (error) return `${name}: ${ts.flattenDiagnosticMessageText(error.messageText, ' ')}`;
    }
    return undefined;
  }
}

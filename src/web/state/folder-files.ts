// A model folder that the user gives: by the directory picker, by an input for folders where a browser has none, or by drop.

/** A folder's files by their paths in it. */
export interface FolderFiles {
  readonly name: string;
  readonly files: ReadonlyMap<string, File>;
}

type Picker = () => Promise<FileSystemDirectoryHandle>;
type Handles = FileSystemDirectoryHandle & {
  entries(): AsyncIterable<[string, FileSystemDirectoryHandle | FileSystemFileHandle]>;
};

/** The browser's directory picker; Firefox and Safari have none. */
export function directoryPicker(): Picker | undefined {
  return (globalThis as { showDirectoryPicker?: Picker }).showDirectoryPicker;
}

/** @returns undefined if the user chose none */
export async function pickFolder(picker: Picker): Promise<FolderFiles | undefined> {
  try {
    const folder = await picker.call(globalThis);
    const files = new Map<string, File>();
    await addHandles(folder as Handles, '', files);
    return { name: folder.name, files };
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return undefined;
    throw error;
  }
}

async function addHandles(folder: Handles, prefix: string, files: Map<string, File>): Promise<void> {
  for await (const [name, handle] of folder.entries()) {
    if (handle.kind === 'file') files.set(prefix + name, await (handle as FileSystemFileHandle).getFile());
    else await addHandles(handle as Handles, `${prefix}${name}/`, files);
  }
}

/** Files of `<input type="file" webkitdirectory>`, whose paths begin with the folder's own name. */
export function inputFolder(list: FileList): FolderFiles | undefined {
  const files = new Map<string, File>();
  for (const file of list) files.set(file.webkitRelativePath.replace(/^[^/]*\//, '') || file.name, file);
  const [first] = list;
  return first && { name: first.webkitRelativePath.split('/')[0] || 'the chosen files', files };
}

/** A folder that was dropped. @returns undefined if it was none */
export async function droppedFolder(transfer: DataTransfer | null): Promise<FolderFiles | undefined> {
  const entry = Array.from(transfer?.items ?? [], (item) => item.webkitGetAsEntry()).find(
    (candidate) => candidate?.isDirectory,
  );
  if (!entry) return undefined;
  const files = new Map<string, File>();
  await addEntries(entry as FileSystemDirectoryEntry, '', files);
  return { name: entry.name, files };
}

async function addEntries(
  folder: FileSystemDirectoryEntry,
  prefix: string,
  files: Map<string, File>,
): Promise<void> {
  const reader = folder.createReader();
  // It gives some at a time, and none at the end.
  for (let some = await readSome(reader); some.length > 0; some = await readSome(reader))
    for (const entry of some) {
      if (entry.isFile) files.set(prefix + entry.name, await fileOf(entry as FileSystemFileEntry));
      else await addEntries(entry as FileSystemDirectoryEntry, `${prefix}${entry.name}/`, files);
    }
}

function readSome(reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  return new Promise((resolve, reject) => reader.readEntries(resolve, reject));
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

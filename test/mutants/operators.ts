// What a mutation may change in a source file: the operators of Stryker (stryker-mutator.io), and numbers by one.
//
// Types, imports and what is said to people (errors' texts, labels of buffers) are left alone.

import ts from 'typescript';

/** One small change of a file's text. */
export interface Mutation {
  /** Its kind. */
  readonly operator: string;
  /** The text that goes, [start, end). */
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

/** A part of a program and what can be done to it. */
export interface Place {
  readonly start: number;
  readonly end: number;
  readonly mutations: readonly Mutation[];
}

type Swaps = Readonly<Record<string, readonly string[]>>;

const BINARY: Readonly<Record<string, Swaps>> = {
  arithmetic: {
    ...{ '+': ['-'], '-': ['+'], '*': ['/'], '/': ['*'], '%': ['*'], '**': ['*'] },
    ...{ '<<': ['>>'], '>>': ['<<'], '>>>': ['<<'], '&': ['|'], '|': ['&'], '^': ['&'] },
  },
  comparison: { '<': ['<=', '>='], '<=': ['<', '>'], '>': ['>=', '<='], '>=': ['>', '<'] },
  equality: { '===': ['!=='], '!==': ['==='], '==': ['!='], '!=': ['=='] },
  logical: { '&&': ['||'], '||': ['&&'] },
  assignment: {
    ...{ '+=': ['-='], '-=': ['+='], '*=': ['/='], '/=': ['*='], '%=': ['*='], '**=': ['*='] },
    ...{ '<<=': ['>>='], '>>=': ['<<='], '&=': ['|='], '|=': ['&='] },
    ...{ '&&=': ['||='], '||=': ['&&='], '??=': ['&&='] },
  },
};

const METHODS: Readonly<Record<string, string>> = {
  ...{ min: 'max', max: 'min', some: 'every', every: 'some', floor: 'ceil', ceil: 'floor', round: 'floor' },
  ...{ startsWith: 'endsWith', endsWith: 'startsWith', indexOf: 'lastIndexOf', lastIndexOf: 'indexOf' },
  ...{ toUpperCase: 'toLowerCase', toLowerCase: 'toUpperCase', push: 'unshift', shift: 'pop', pop: 'shift' },
  ...{ find: 'findLast', findIndex: 'findLastIndex', padStart: 'padEnd', padEnd: 'padStart' },
  ...{ trimStart: 'trimEnd', trimEnd: 'trimStart' },
};

/** Calls that may be left out: `list.filter(…)` becomes `list`. */
const LEFT_OUT = new Set([
  'slice',
  'subarray',
  'filter',
  'sort',
  'reverse',
  'trim',
  'substring',
  'abs',
  'flat',
]);

/** All places of a file, in the order of the text; of those with the same text range one. */
export function placesOf(file: ts.SourceFile): Place[] {
  const places = new Map<string, { start: number; end: number; mutations: Mutation[] }>();
  const visit = (node: ts.Node): void => {
    if (isLeftAlone(node)) return;
    for (const mutation of mutationsOf(node, file)) {
      const [start, end] = [node.getStart(file), node.getEnd()];
      const key = `${start} ${end}`;
      const place = places.get(key) ?? { start, end, mutations: [] };
      const { replacement } = mutation;
      if (
        !place.mutations.some((other) => other.replacement === replacement && other.start === mutation.start)
      )
        place.mutations.push(mutation);
      places.set(key, place);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return [...places.values()].sort((a, b) => a.start - b.start || b.end - a.end);
}

/** A text with a mutation made. */
export function mutate(text: string, { start, end, replacement }: Mutation): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

function mutationsOf(node: ts.Node, file: ts.SourceFile): Mutation[] {
  const make = (operator: string, at: ts.Node, replacement: string): Mutation => ({
    operator,
    start: at.getStart(file),
    end: at.getEnd(),
    replacement,
  });
  const text = (part: ts.Node) => part.getText(file);
  const found: Mutation[] = [];
  if (ts.isBinaryExpression(node)) {
    const { left, right, operatorToken: token } = node;
    const sign = text(token);
    if (sign !== '+' || !(isText(left) || isText(right)))
      for (const [operator, swaps] of Object.entries(BINARY))
        for (const other of swaps[sign] ?? []) found.push(make(operator, token, other));
    if (sign === '??')
      found.push(make('nullish', node, text(left)), make('nullish', node, `(${text(right)})`));
  }
  if (isCondition(node)) {
    // A loop that cannot end would only cost time.
    if (!isLoop(node.parent)) found.push(make('condition', node, 'true'));
    found.push(make('condition', node, 'false'));
  }
  if (node.kind === ts.SyntaxKind.TrueKeyword) found.push(make('boolean', node, 'false'));
  if (node.kind === ts.SyntaxKind.FalseKeyword) found.push(make('boolean', node, 'true'));
  if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) {
    const operand = text(node.operand);
    const swapped = { [ts.SyntaxKind.PlusPlusToken]: '--', [ts.SyntaxKind.MinusMinusToken]: '++' }[
      node.operator as number
    ];
    if (!swapped) found.push(make('unary', node, operand));
    else
      found.push(
        make('update', node, ts.isPrefixUnaryExpression(node) ? swapped + operand : operand + swapped),
      );
  }
  if (ts.isNumericLiteral(node) || ts.isBigIntLiteral(node)) {
    const one = ts.isBigIntLiteral(node) ? '1n' : '1';
    found.push(
      make('number', node, `(${text(node)} + ${one})`),
      make('number', node, `(${text(node)} - ${one})`),
    );
  }
  if (isText(node) && text(node).length > 2 && !isName(node)) found.push(make('string', node, "''"));
  if (ts.isArrayLiteralExpression(node) && node.elements.length > 0 && !isTarget(node))
    found.push(make('array', node, '[]'));
  if (ts.isBlock(node) && node.statements.length > 0) found.push(make('block', node, '{}'));
  if (ts.isExpressionStatement(node) || ts.isBreakStatement(node) || ts.isContinueStatement(node))
    found.push(make('statement', node, ';'));
  if ((ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)) && node.questionDotToken)
    found.push(make('chaining', node.questionDotToken, ts.isPropertyAccessExpression(node) ? '.' : ''));
  if (ts.isCallExpression(node)) {
    if (node.questionDotToken) found.push(make('chaining', node.questionDotToken, ''));
    if (ts.isPropertyAccessExpression(node.expression)) {
      const { name, expression: owner, questionDotToken } = node.expression;
      const swapped = METHODS[name.text];
      if (swapped && Object.hasOwn(METHODS, name.text)) found.push(make('method', name, swapped));
      if (LEFT_OUT.has(name.text) && !questionDotToken)
        found.push(make('method', node, name.text === 'abs' ? text(node.arguments[0]!) : text(owner)));
    }
  }
  return found;
}

/** Whether an expression is asked for its truth: a condition, or a comparison wherever it stands. */
function isCondition(node: ts.Node): node is ts.Expression {
  const { parent } = node;
  if (!parent) return false;
  if (
    (ts.isIfStatement(parent) || ts.isWhileStatement(parent) || ts.isDoStatement(parent)) &&
    parent.expression === node
  )
    return !isConstant(node);
  if ((ts.isConditionalExpression(parent) || ts.isForStatement(parent)) && parent.condition === node)
    return true;
  if (!ts.isBinaryExpression(node)) return false;
  const sign = node.operatorToken.getText();
  if (sign in BINARY.comparison! || sign in BINARY.equality!) return true;
  return sign === '&&' || sign === '||';
}

function isLoop(node: ts.Node): boolean {
  return ts.isWhileStatement(node) || ts.isDoStatement(node) || ts.isForStatement(node);
}

function isConstant({ kind }: ts.Node): boolean {
  return kind === ts.SyntaxKind.TrueKeyword || kind === ts.SyntaxKind.FalseKeyword;
}

function isText(node: ts.Node): boolean {
  return (
    ts.isStringLiteral(node) || ts.isTemplateExpression(node) || ts.isNoSubstitutionTemplateLiteral(node)
  );
}

/** A property's name, or a directive. */
function isName(node: ts.Node): boolean {
  const { parent } = node;
  return (
    (ts.isPropertyAssignment(parent) && parent.name === node) ||
    ts.isExpressionStatement(parent) ||
    ts.isComputedPropertyName(parent)
  );
}

/** `[a, b] = …`: the left side. */
function isTarget(node: ts.Node): boolean {
  return ts.isBinaryExpression(node.parent) && node.parent.left === node;
}

/** Parts that are no behaviour: types, imports, texts for people. */
function isLeftAlone(node: ts.Node): boolean {
  if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return true;
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return true;
  const { parent } = node;
  if (!parent) return false;
  if (ts.isNewExpression(parent) && /Error$/.test(parent.expression.getText())) return true;
  if (!ts.isCallExpression(parent) || parent.expression === node) return false;
  const called = parent.expression.getText().replace(/^.*\./, '');
  const place = parent.arguments.indexOf(node as ts.Expression);
  if (called === 'checkShape') return place === 1;
  if (called.startsWith('check')) return isText(node);
  return /^(fail|#?wrong|damaged|misfit)$/.test(called) || (called === 'empty' && place === 2);
}

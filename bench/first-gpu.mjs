// The steps of first-gpu.sh. Each is a process of its own: what crashes a driver costs one step. What they find is in one JSON
// file, which is also the memory of what has been done.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '9' },
    json: { type: 'string', default: 'first-gpu.json' },
    short: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    adapter: { type: 'string', default: 'auto' },
  },
});
const root = resolve(import.meta.dirname, '..');
const file = resolve(options.json);
const end = Date.now() + 60_000 * Number(options.minutes);
/** A step is cut off so many seconds before the end, to have time to write. */
const RESERVE = 5;
const LEFT_OVER = 75; // EX_TEMPFAIL

const { short, adapter } = options;
const rounds = short ? '1' : '5';
const bench = (...args) => ['bench/run.mjs', ...args, '--adapter', adapter, '--rounds', rounds];
const llava = (...args) => [
  ...['bench/llava-7b.mjs', '--adapter', adapter, '--folder', join(root, `llava-7b-${short ? 1 : 4}`)],
  ...(short ? ['--layers', '1', '--parts', 'forward'] : ['--layers', '4', '--tokens', '16']),
  ...args,
];
const tests = (name) => ['test/kernels/run-tests.mjs', `${name}.mjs`];
const MATRICES = '--subgroup-matrices';
const GPU_TESTS = readdirSync(join(root, 'test/kernels'))
  .filter((name) => name.endsWith('.test.mjs'))
  .map((name) => name.replace(/\.mjs$/, ''));

/** By name the command, in the order in which they are run: what fails soonest says most. */
const STEPS = {
  machine: ['bench/run.mjs', '--machine', '--adapter', adapter],
  ...Object.fromEntries(GPU_TESTS.map((name) => [`tests ${name}`, tests(name)])),
  'llava-7b f16, default kernels': llava('--dtype', 'f16'),
  ...Object.fromEntries(
    ['row', 'few', 'skinny', 'tall', 'large'].map((shape) => [
      `tune ${shape}`,
      bench('--tune', '--only', short ? ` ${shape} f32$` : ` ${shape} `),
    ]),
  ),
  'row independence of what was tuned': tests('row-independence.test'),
  kernels: bench('kernels', ...(short ? ['--only', '64 × 128'] : [])),
  'kernels on matrix units': bench('kernels', MATRICES, '--only', short ? '64 × 128' : 'matmul'),
  'llava-7b f16': llava('--dtype', 'f16'),
  'llava-7b f16 on matrix units': llava('--dtype', 'f16', MATRICES),
  'llava-7b nf4': llava('--dtype', 'nf4', '--parts', short ? 'forward' : 'forward,generation'),
  'PyTorch on the same GPU': [
    'python3',
    'bench/peers/torch_llava.py',
    ...(short ? ['--layers', '1', '--short'] : []),
  ],
};

const report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { steps: {} };
const left = Object.keys(STEPS).filter(
  (name) => !(name in report.steps) && new RegExp(options.only).test(name),
);
let ran = 0;
for (const name of left) {
  const seconds = (end - Date.now()) / 1000 - RESERVE;
  if (seconds <= 0) break;
  console.log(`\n— ${name}`);
  const result = await runStep(STEPS[name], seconds);
  // What had less than a whole part for itself gets another turn.
  if (result.timedOut && ran > 0) break;
  report.steps[name] = result;
  writeFileSync(`${file}.part`, `${JSON.stringify(report, null, 1)}\n`);
  renameSync(`${file}.part`, file);
  ran++;
}
const open = left.filter((name) => !(name in report.steps));
const failed = Object.entries(report.steps).filter(([, { status }]) => status !== 0);
console.log(
  `\n${Object.keys(report.steps).length} steps done, ${failed.length} of them not well${failed.map(([name]) => `\n  ${name}`).join('')}\n` +
    `${open.length > 0 ? `${open.length} are left: call again` : 'all done'} → ${file}`,
);
process.exit(open.length > 0 ? LEFT_OVER : failed.length > 0 ? 1 : 0);

/** Runs one; its figures are what it writes to --json, its lines what it says. */
function runStep([program, ...given], seconds) {
  const folder = mkdtempSync(join(tmpdir(), 'first-gpu-'));
  const json = join(folder, 'figures.json');
  const args = [...given, '--json', json];
  const start = Date.now();
  return new Promise((done) => {
    const child = spawn(
      program.endsWith('.mjs') ? process.execPath : program,
      program.endsWith('.mjs') ? [program, ...args] : args,
      // What is tuned here stays here.
      {
        cwd: root,
        env: { ...process.env, XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? join(root, 'cache') },
      },
    );
    let lines = '';
    const hear = (text) => {
      process.stdout.write(text);
      lines = (lines + text).slice(-20_000);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, 1000 * seconds);
    const finish = (status) => {
      clearTimeout(timer);
      const figures = existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : undefined;
      rmSync(folder, { recursive: true });
      const took = (Date.now() - start) / 1000;
      done({ status, seconds: took, ...(timedOut && { timedOut }), figures, output: lines.split('\n') });
    };
    child.on('error', (error) => {
      hear(`${error.message}\n`);
      finish(127);
    });
    child.on('close', (code, signal) => finish(code ?? signal));
  });
}

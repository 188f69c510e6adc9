// The compilers that the check asks, put into the user's cache where they are missing: Mesa's Vulkan drivers and loader from the
// Debian archive, unpacked there and not installed, Mesa's no-op stand-in for an Intel GPU's kernel driver, built from the
// same archive's source, naga from crates.io, Deno from npm, zig (a clang) from PyPI.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cachedFolder } from '../../dist/platform/node/cache.js';
import { has, run } from './run.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** What has to be there already, and how it comes there. */
const NEEDED = {
  'apt-get': 'The drivers come from a Debian archive: run this on Debian or Ubuntu, without root.',
  'dpkg-deb': 'The drivers come from a Debian archive: run this on Debian or Ubuntu, without root.',
  cc: 'As root: apt-get install build-essential',
  'pkg-config': 'As root: apt-get install pkg-config',
  python3: 'As root: apt-get install python3 python3-venv',
};

/** @returns where everything lies */
export async function installTools() {
  for (const [program, cure] of Object.entries(NEEDED))
    if (!has(program)) throw new Error(`gpu-check needs ${program}, which is missing. ${cure}`);
  const mesa = await step('mesa', 'packages.txt', unpackMesa);
  const python = join(await step('python', 'ready', makeVenv), 'bin', 'python');
  const shim = await step('intel-shim', 'libintel_noop_drm_shim.so', (folder) =>
    buildShim(folder, mesa, python),
  );
  const source = readFileSync(join(here, 'vkcomp.c'));
  const version = createHash('sha256').update(source).digest('hex').slice(0, 8);
  const compiler = await step(`vkcomp-${version}`, 'vkcomp', (folder) => buildCompiler(folder, mesa));
  const deno = await step('deno', 'node_modules/.bin/deno', installDeno);
  return {
    libraries: join(mesa, 'root', libraryFolder(mesa)),
    manifest: (driver) => join(mesa, 'root/usr/share/vulkan/icd.d', `${driver}_icd.json`),
    mesaVersion: readFileSync(join(mesa, 'packages.txt'), 'utf8').match(/^mesa-vulkan-drivers_([\d.]+)/m)[1],
    python,
    shim: join(shim, 'libintel_noop_drm_shim.so'),
    vkcomp: join(compiler, 'vkcomp'),
    naga: await findNaga(),
    deno: join(deno, 'node_modules/.bin/deno'),
  };
}

function step(name, proof, fill) {
  return cachedFolder(join('gpu-check', name), proof, (folder) => {
    console.log(`Installing ${name} …`);
    return fill(folder);
  });
}

const libraryFolder = (mesa) =>
  join(
    'usr/lib',
    readdirSync(join(mesa, 'root/usr/lib')).find((name) => name.endsWith('-linux-gnu')),
  );

/** apt with package lists of its own, so that it changes nothing and needs no root; bookworm's Mesa is too old, its backports' is not. */
async function privateApt(folder) {
  const format = '$(REPO_URI) $(RELEASE) $(COMPONENT)';
  const targets = await run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  const codename = readFileSync('/etc/os-release', 'utf8').match(/^VERSION_CODENAME=(\w+)/m)?.[1];
  const archive = targets.split('\n').find((line) => line.split(' ')[1] === codename);
  if (!archive)
    throw new Error(`gpu-check: apt knows no archive of ${codename}. Run apt-get update as root.`);
  const [uri, release, component] = archive.split(' ');
  const suites = [release, `${release}-updates`, ...(release === 'bookworm' ? ['bookworm-backports'] : [])];
  const lines = suites.flatMap((suite) =>
    ['deb', 'deb-src'].map((kind) => `${kind} ${uri} ${suite} ${component}\n`),
  );
  for (const name of ['lists/partial', 'archives/partial'])
    mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'sources.list'), lines.join(''));
  const options = [
    ['Dir::Etc::sourcelist', join(folder, 'sources.list')],
    ['Dir::Etc::sourceparts', '-'],
    ['Dir::State::lists', join(folder, 'lists')],
    ['Dir::Cache::archives', join(folder, 'archives')],
    ['Dir::Cache::pkgcache', ''],
    ['Dir::Cache::srcpkgcache', ''],
  ].flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const apt = (...args) => run('apt-get', [...options, ...args], { cwd: folder });
  await apt('update');
  return { apt, suite: suites.at(-1) };
}

/** Drivers and what they are linked with beyond what the system has, headers, two programs that Mesa's build asks for, its source. */
async function unpackMesa(folder) {
  const work = join(folder, 'apt');
  mkdirSync(work);
  const { apt, suite } = await privateApt(work);
  const packages = ['mesa-vulkan-drivers', 'libvulkan-dev', 'libdrm-dev', 'bison', 'flex'];
  const only = ['-y', '--download-only', '--no-install-recommends', '-t', suite];
  await apt('install', '--reinstall', ...only, ...packages);
  await apt('source', '--download-only', '--tar-only', '-t', suite, 'mesa');
  const archives = readdirSync(join(work, 'archives')).filter((name) => name.endsWith('.deb'));
  for (const name of archives)
    await run('dpkg-deb', ['-x', join(work, 'archives', name), join(folder, 'root')]);
  const source = readdirSync(work).find((name) => /^mesa_.*\.orig\.tar\.\w+$/.test(name));
  copyFileSync(join(work, source), join(folder, source));
  rmSync(work, { recursive: true });
  writeFileSync(join(folder, 'packages.txt'), `${archives.join('\n')}\n`);
}

/** Called as modules of its python: the scripts in a venv's bin do not bear to be moved. */
async function makeVenv(folder) {
  await run('python3', ['-m', 'venv', folder]);
  const packages = ['meson', 'ninja', 'mako', 'pyyaml', 'packaging', 'ziglang'];
  await run(join(folder, 'bin/python'), ['-m', 'pip', 'install', '--quiet', ...packages]);
  writeFileSync(join(folder, 'ready'), '');
}

async function buildShim(folder, mesa, python) {
  const work = join(folder, 'work');
  mkdirSync(work);
  const source = readdirSync(mesa).find((name) => name.startsWith('mesa_'));
  await run('tar', ['-xf', join(mesa, source), '--strip-components=1', '-C', work]);
  const root = join(mesa, 'root');
  const ninja = (await run(python, ['-c', 'import ninja; print(ninja.BIN_DIR)'])).trim();
  const env = {
    PATH: `${ninja}:${join(root, 'usr/bin')}:${process.env.PATH}`,
    PKG_CONFIG_PATH: join(root, libraryFolder(mesa), 'pkgconfig'),
    PKG_CONFIG_SYSROOT_DIR: root,
  };
  const off = ['glx', 'egl', 'gbm', 'gles1', 'gles2', 'llvm', 'valgrind'].map((name) => `-D${name}=disabled`);
  const none = ['vulkan-drivers', 'gallium-drivers', 'platforms', 'video-codecs'].map((name) => `-D${name}=`);
  const wanted = ['-Dtools=drm-shim,intel', '-Dintel-elk=false', '-Dopengl=false', '-Dbuildtype=plain'];
  const build = join(work, 'build');
  await run(python, ['-m', 'mesonbuild.mesonmain', 'setup', build, work, ...wanted, ...off, ...none], {
    env,
  });
  const target = 'src/intel/tools/libintel_noop_drm_shim.so';
  await run(join(ninja, 'ninja'), ['-C', build, '-j', '2', target], { env });
  copyFileSync(join(build, target), join(folder, 'libintel_noop_drm_shim.so'));
  rmSync(work, { recursive: true });
}

async function buildCompiler(folder, mesa) {
  const root = join(mesa, 'root');
  const where = [`-I${join(root, 'usr/include')}`, `-L${join(root, libraryFolder(mesa))}`];
  await run('cc', [
    '-O1',
    '-Wall',
    '-o',
    join(folder, 'vkcomp'),
    join(here, 'vkcomp.c'),
    ...where,
    '-lvulkan',
  ]);
}

async function installDeno(folder) {
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  await run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', 'deno'], { cwd: folder });
}

async function findNaga() {
  if (has('naga')) return 'naga';
  if (!has('cargo')) throw new Error('gpu-check needs naga, and cargo to install it: https://rustup.rs');
  const folder = await step('naga', 'bin/naga', (into) =>
    run('cargo', ['install', 'naga-cli', '--root', into]),
  );
  return join(folder, 'bin/naga');
}

// `--devices`: an experiment on several devices of this machine.

import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { NoticeError } from '../errors.ts';
import type { NodeDevice } from '../platform/node/devices.ts';
import { PACKAGE } from './embedded.ts';
import type { Preemption } from './preemption.ts';

/** All, or numbers from 1 in the list of `notice devices`. */
export type DeviceChoice = 'all' | readonly number[];

export function deviceChoice(text: string): DeviceChoice {
  if (text === 'all') return 'all';
  const numbers = text.split(',').map(Number);
  if (!numbers.every((number) => Number.isInteger(number) && number > 0))
    throw new InvalidArgumentError('expected all, or numbers of `notice devices`, as 1,3.');
  return numbers;
}

/**
 * The devices that were asked for, all of one kind.
 *
 * @throws NoticeError('usage') if there is none, no such number, or if they would round differently
 */
export function chooseDevices(
  devices: readonly NodeDevice[],
  choice: DeviceChoice,
  software: boolean,
): NodeDevice[] {
  const found =
    choice === 'all'
      ? devices.filter((device) => device.software === software)
      : choice.map((number) => {
          const device = devices[number - 1];
          if (!device)
            throw new NoticeError(
              'usage',
              `there is no device ${number}: \`notice devices\` lists ${devices.length}`,
            );
          return device;
        });
  const names = [...new Set(found.map(({ name }) => name))];
  if (names.length === 0)
    throw new NoticeError(
      'usage',
      `there is no ${software ? 'software' : 'hardware'} device (\`notice devices\`)`,
    );
  if (names.length > 1)
    throw new NoticeError(
      'usage',
      `devices of different kinds round differently, and their results are not one experiment (${names.join(', ')}): ` +
        'name some of one kind, as --devices 1,2',
    );
  return found;
}

/** Runs an experiment whose arguments stand on the command line, one shard on each device. */
export async function runOnAll(
  argv: readonly string[],
  { devices, out, adapter }: { devices: DeviceChoice; out: string; adapter?: string },
  preemption: Preemption,
): Promise<void> {
  const { listDevices } = await import('../platform/node/adapter.ts');
  const { runOnDevices } = await import('../notice/cluster/local.ts');
  const chosen = chooseDevices(await listDevices(), devices, adapter === 'software');
  chosen.forEach(({ name, pci }, i) => {
    console.log(`shard ${i + 1}/${chosen.length} on ${name}${pci ? `, ${pci}` : ''}`);
  });
  const run = withoutDevices(argv);
  await runOnDevices(
    {
      run: adapter ? run : [...run, '--adapter', 'hardware'],
      out: resolve(out),
      tasks: chosen.length,
    },
    {
      environments: chosen.map(({ env }) => env),
      program: [process.execPath, `${PACKAGE}bin/notice.mjs`],
      signal: preemption.begin(),
      log: (line) => console.log(line),
    },
  );
  console.log(`Results and report.html are in ${out}`);
}

/** Arguments of `notice run` without `--devices`. */
function withoutDevices(argv: readonly string[]): string[] {
  const args = argv.slice(argv.indexOf('run') + 1);
  return args.filter((arg, i) => !arg.startsWith('--devices') && args[i - 1] !== '--devices');
}

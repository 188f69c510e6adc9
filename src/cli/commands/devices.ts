import type { Command } from 'commander';
import { terminalTable } from '../table.ts';

export function devicesCommand(program: Command): void {
  program
    .command('devices')
    .description('The devices of this machine, in the order in which --devices numbers them.')
    .addHelpText('after', '\nExample:\n  notice devices')
    .action(async () => {
      const { listDevices } = await import('../../platform/node/adapter.ts');
      const devices = (await listDevices()).map((device, i) => ({ ...device, number: i + 1 }));
      console.log(
        terminalTable(devices, [
          { name: 'number', value: ({ number }) => String(number) },
          { name: 'device', value: ({ name }) => name },
          { name: 'kind', value: ({ software }) => (software ? 'software' : 'hardware') },
          { name: 'PCI address', value: ({ pci = '' }) => pci },
        ]),
      );
    });
}

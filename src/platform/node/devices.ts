// The devices of a machine, and how a process is told to take one: by name, or where several have the same one by PCI address.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import { isSoftware } from '../../gpu/index.ts';

/** A device that a process can be given for itself. */
export interface NodeDevice {
  readonly name: string;
  readonly software: boolean;
  /** Where several have its name. */
  readonly pci?: string;
  /** Environment of a process that is to take it. */
  readonly env: Readonly<Record<string, string>>;
}

/** A display controller on the PCI bus. */
export interface PciDisplay {
  /** "0000:3b:00.0" */
  readonly address: string;
  /** Vendor and device, "0x10de 0x2335". */
  readonly kind: string;
}

/** Names the adapter that Dawn shall take, as Dawn lists it. */
export const DEVICE_VARIABLE = 'NOTICE_DEVICE';

const PCI_DEVICES = '/sys/bus/pci/devices';
/** PCI class of display controllers, its first two digits. */
const DISPLAY = '0x03';

/** The machine's, in the order of their addresses; none where there is no Linux. */
export function pciDisplays(folder = PCI_DEVICES): PciDisplay[] {
  if (!existsSync(folder)) return [];
  const read = (address: string, name: string) => readFileSync(join(folder, address, name), 'latin1').trim();
  return readdirSync(folder)
    .sort()
    .filter((address) => read(address, 'class').startsWith(DISPLAY))
    .map((address) => ({ address, kind: `${read(address, 'vendor')} ${read(address, 'device')}` }));
}

/** Whether Mesa's device selection layer, which is for drivers of all vendors, is installed. */
export function hasSelectionLayer(): boolean {
  const data = process.env.XDG_DATA_DIRS || '/usr/local/share:/usr/share';
  return ['/etc', ...data.split(':')].some((root) => {
    const folder = join(root, 'vulkan/implicit_layer.d');
    return existsSync(folder) && readdirSync(folder).some((name) => /device_select.*\.json$/.test(name));
  });
}

/**
 * How each of the adapters is named to a process. Vulkan heeds no CUDA_VISIBLE_DEVICES: the layer offers the device whose PCI
 * address stands in DRI_PRIME, with `!` no other.
 *
 * @param names as Dawn lists them
 * @throws NoticeError('usage') saying why devices of one name cannot be told apart
 */
export function tellApart(
  names: readonly string[],
  displays: readonly PciDisplay[],
  layer: boolean,
): NodeDevice[] {
  const taken = new Map<string, number>();
  return names.map((name): NodeDevice => {
    const software = isSoftware({ architecture: '', description: name });
    const same = names.filter((other) => other === name).length;
    if (same === 1) return { name, software, env: { [DEVICE_VARIABLE]: name } };
    const place = taken.get(name) ?? 0;
    taken.set(name, place + 1);
    const { address } = addressesOf(name, same, displays, layer)[place] as PciDisplay;
    return { name, software, pci: address, env: { DRI_PRIME: `pci-${address.replaceAll(/[:.]/g, '_')}!` } };
  });
}

function addressesOf(
  name: string,
  count: number,
  displays: readonly PciDisplay[],
  layer: boolean,
): PciDisplay[] {
  const refuse = (why: string) =>
    new NoticeError(
      'usage',
      `${count} devices are named "${name}", and a process cannot be told which one to take: ${why}. ` +
        'Start one process for each with a device that is the only one it sees, as in containers.',
    );
  if (!layer)
    throw refuse(
      "Mesa's device selection layer for Vulkan is not installed (Debian and Ubuntu: mesa-vulkan-drivers)",
    );
  const kinds = [...new Set(displays.map(({ kind }) => kind))];
  const groups = kinds
    .map((kind) => displays.filter((display) => display.kind === kind))
    .filter(({ length }) => length === count);
  const [group] = groups;
  if (!group || groups.length > 1)
    throw refuse(
      `the PCI bus has ${groups.length} kinds of ${count} equal display controllers, where one was expected ` +
        `(${displays.map(({ address, kind }) => `${address} ${kind}`).join(', ') || 'none at all'})`,
    );
  return group;
}

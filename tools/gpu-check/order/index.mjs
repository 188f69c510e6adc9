// Asserts on compiled code that additions are done in the order of the source, and that nothing is folded which must not be.
import { compile, TARGETS, translate } from '../compile.mjs';
import { hashOf } from '../gpu-kernels.mjs';
import { parseAco } from './aco.mjs';
import { parseGen } from './gen.mjs';
import { ruleOf, unsafely } from './rules.mjs';

/** The text of a compiled kernel that is read, and how. */
const READERS = {
  radeon: { text: 'ACO IR', parse: parseAco },
  intel: { text: 'GEN Assembly', parse: parseGen },
};
/** Words of a register on Intel. */
const REGISTER_WORDS = { tgl: 8, lnl: 16 };

/** @returns what is wrong, as sentences */
export async function checkOrder(tools, kernels, folder) {
  const checked = kernels.filter(({ name, usual }) => usual && ruleOf(name));
  const wrong = checked.flatMap((kernel) =>
    Object.entries(ruleOf(kernel.name).unsafe ?? {}).flatMap(([how, change]) => {
      const changed = unsafely(kernel, change);
      return changed
        ? [{ ...changed, hash: hashOf(changed.code), name: `${kernel.name}, ${how}`, of: kernel.name, how }]
        : [];
    }),
  );
  // One of each kind: they differ by what is replaced, not by the kernel's other traits.
  const once = [...new Map(wrong.map((one) => [`${one.of.split(' ')[0]} ${one.how}`, one])).values()];
  const all = [...checked, ...once];
  const spirv = await translate(tools, all, folder);
  const failures = [];
  for (const target of Object.keys(TARGETS)) {
    const { text, parse } = READERS[TARGETS[target].driver];
    const compiled = await compile(tools, target, all, spirv, text);
    for (const kernel of all) {
      const graph = parse(compiled.get(kernel.name).code, REGISTER_WORDS[target]);
      const problems = ruleOf(kernel.of ?? kernel.name).check(graph, {
        ...kernel,
        name: kernel.of ?? kernel.name,
      });
      if (kernel.how && problems.length === 0)
        failures.push(`${target}: the check of order does not notice: ${kernel.name}`);
      if (!kernel.how)
        for (const problem of problems.slice(0, 3)) failures.push(`${target}: ${kernel.name}: ${problem}`);
    }
    console.log(
      `${target}: order of additions checked in ${checked.length} kernels, and in ${once.length} written unsafely`,
    );
  }
  return failures;
}

// Dawn's experimental subgroup matrices (WGSL extension chromium_experimental_subgroup_matrix): what an adapter lists,
// and which of two syntaxes its compiler knows.

/** A product that a subgroup computes at once: [M, K] × [K, N], f16 operands, f32 sums. */
export interface SubgroupMatrix {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /**
   * How loads and stores say whether rows or columns are stored together: by a template argument
   * (`subgroupMatrixLoad<T, row_major>(p, offset, stride)`, Dawn since June 2026) or by a flag
   * (`subgroupMatrixLoad<T>(p, offset, false, stride)`, Dawn until August 2026).
   */
  readonly syntax: MatrixSyntax;
}

export type MatrixSyntax = 'template' | 'flag';

/** Not yet in @webgpu/types, like {@link MatrixInfo}. */
export const SUBGROUP_MATRIX_FEATURE = 'chromium-experimental-subgroup-matrix';

interface MatrixInfo {
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

type MatrixShape = Omit<SubgroupMatrix, 'syntax'>;

/**
 * The largest shape with f16 operands and f32 sums that an adapter lists.
 *
 * @returns undefined if it lists none, or if a subgroup has no fixed size: which lanes make up one is then not known
 */
export function offeredMatrix(adapter: GPUAdapter): MatrixShape | undefined {
  const { features, info } = adapter;
  if (!features.has(SUBGROUP_MATRIX_FEATURE) || !features.has('shader-f16')) return undefined;
  if (info.subgroupMinSize !== info.subgroupMaxSize) return undefined;
  const [largest] = [...((info as MatrixInfo).subgroupMatrixConfigs ?? [])]
    .filter(
      ({ componentType, resultComponentType }) => componentType === 'f16' && resultComponentType === 'f32',
    )
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return largest && { M: largest.M, N: largest.N, K: largest.K };
}

const LOADS: Readonly<Record<MatrixSyntax, string>> = {
  template: 'subgroupMatrixLoad<Left, row_major>(&tile, owner * K, K)',
  flag: 'subgroupMatrixLoad<Left>(&tile, owner * K, false, K)',
};

/** Compiles a load by one subgroup of several in either syntax; the capability is absent if the device takes neither. */
export async function probeMatrix(
  device: GPUDevice,
  shape: MatrixShape,
): Promise<{ subgroupMatrix?: SubgroupMatrix }> {
  const { M, K } = shape;
  for (const syntax of ['template', 'flag'] as const) {
    device.pushErrorScope('validation');
    device.createShaderModule({
      label: `subgroup matrices, ${syntax} syntax`,
      code:
        'enable f16;\nenable subgroups;\nenable chromium_experimental_subgroup_matrix;\n' +
        `const K = ${K}u;\nalias Left = subgroup_matrix_left<f16, K, ${M}>;\n` +
        `var<workgroup> tile: array<f16, ${K * M}>;\n` +
        '@compute @workgroup_size(64) fn main(@builtin(subgroup_id) owner: u32) {\n' +
        `  let probe = ${LOADS[syntax]};\n}\n`,
    });
    if (!(await device.popErrorScope())) return { subgroupMatrix: { ...shape, syntax } };
  }
  return {};
}

/** A kernel's text, written in the template syntax, in the device's. */
export function inSyntax(text: string, syntax: MatrixSyntax): string {
  if (syntax === 'template') return text;
  return text
    .replace(
      /subgroupMatrixLoad<(\w+), (row|col)_major>\(([^,]+), ([^,]+), /g,
      (_, type, order, pointer, offset) =>
        `subgroupMatrixLoad<${type}>(${pointer}, ${offset}, ${order === 'col'}, `,
    )
    .replace(
      /subgroupMatrixStore<(row|col)_major>\(([^;]+), (\w+)\);/g,
      (_, order, operands, stride) => `subgroupMatrixStore(${operands}, ${order === 'col'}, ${stride});`,
    );
}

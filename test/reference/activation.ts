import type { Activation, Scaling } from '../../src/kernels/index.ts';
import type { Matrix } from './matrix.ts';

/**
 * The error function: 2/√π · exp(−x²) · Σ_n 2ⁿ x²ⁿ⁺¹ / (1 · 3 · … · (2n + 1)), Abramowitz and Stegun 7.1.6. All terms
 * have one sign, so nothing cancels; beyond |x| = 6 it is ±1 to the last digit of f64.
 */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** torch.nn.functional.gelu (approximate='none' and 'tanh') and silu; transformers.activations.QuickGELUActivation. */
const ACTIVATIONS: Readonly<Record<Activation, (x: number) => number>> = {
  none: (x) => x,
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  gelu_pytorch_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  quick_gelu: (x) => x * sigmoid(1.702 * x),
  silu: (x) => x * sigmoid(x),
};

/** Their derivatives: φ and Φ are the normal distribution's density and distribution. */
const SLOPES: Readonly<Record<Activation, (x: number) => number>> = {
  none: () => 1,
  gelu: (x) => 0.5 * (1 + erf(x / Math.SQRT2)) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  gelu_pytorch_tanh: (x) => {
    const tanh = Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
    const inner = Math.sqrt(2 / Math.PI) * (1 + 0.134145 * x ** 2);
    return 0.5 * (1 + tanh) + (tanh ** 2 === 1 ? 0 : 0.5 * x * (1 - tanh ** 2) * inner);
  },
  quick_gelu: (x) => sigmoid(1.702 * x) + 1.702 * x * sigmoid(1.702 * x) * sigmoid(-1.702 * x),
  silu: (x) => sigmoid(x) + x * sigmoid(x) * sigmoid(-x),
};

export function slope(name: Activation, x: number): number {
  return SLOPES[name](x);
}

/** scale · x, softcapped where there is a cap (Gemma2ForCausalLM: logits / cap, tanh, times cap). */
export function scaling(x: number, { scale, cap }: Scaling): number {
  return cap === undefined ? scale * x : cap * Math.tanh((scale * x) / cap);
}

export function activation(name: Activation | Scaling, x: number): number {
  return typeof name === 'string' ? ACTIVATIONS[name](x) : scaling(x, name);
}

/** act(x), or act(x) · gate as in LlamaMLP: act_fn(gate_proj(h)) · up_proj(h). */
export function activate(x: Matrix, name: Activation | Scaling, gate?: Matrix): Matrix {
  return x.map((row, r) =>
    Array.from(row, (value, c) => activation(name, value) * (gate ? gate[r]![c]! : 1)),
  );
}

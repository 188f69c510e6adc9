// The noise predictor, diffusers' UNet2DConditionModel: maps on their way down and up again, transformers that read the prompt
// at most levels.

import type { Tensor, Work } from '../../gpu/index.ts';
import {
  activate,
  convolve,
  type FeatureMaps,
  type GroupNormWeights,
  matmul,
  normalizeGroups,
} from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import type { Linear, TowerConfig } from '../tower/index.ts';
import { linear } from '../weight-maps.ts';
import type { UnetConfig } from './config.ts';
import {
  joinChannels,
  loadConv,
  loadGroupNorm,
  loadResnet,
  type MapWalk,
  passMaps,
  type ResnetWeights,
  resnet,
} from './maps.ts';
import {
  attendMaps,
  loadTransformer,
  type Texts,
  type Transformer,
  transformerConfig,
  transformerHooks,
} from './transformer.ts';

/** A resnet with the transformer behind it, if there is one. */
interface Stage {
  /** Of its hook points. */
  readonly name: string;
  readonly resnet: ResnetWeights;
  readonly transformer: Transformer | undefined;
}

interface Level {
  readonly stages: readonly Stage[];
  /** The convolution to the next level's size; none at the last. */
  readonly resize: Linear | undefined;
  readonly resizeName: string;
}

/** Where a stage is and what it is made of. */
interface StagePlan {
  readonly name: string;
  readonly block: string;
  readonly index: number;
  readonly from: number;
  readonly to: number;
  readonly heads: number | undefined;
}

interface LevelPlan {
  readonly stages: readonly StagePlan[];
  readonly resize: { readonly name: string; readonly path: string; readonly channels: number } | undefined;
}

interface Plan {
  readonly down: readonly LevelPlan[];
  readonly middle: readonly [StagePlan, StagePlan];
  readonly up: readonly LevelPlan[];
}

/** The UNet's modules in the order of their computation. */
function planUnet({ channels, heads, attendsDown, attendsUp, layers }: UnetConfig): Plan {
  const levels = channels.length;
  const at = (level: number) => channels[level] as number;
  const first = at(0);
  const skips = [first];
  const down = channels.map((to, level): LevelPlan => {
    const block = `down_blocks.${level}`;
    const stages = Array.from({ length: layers }, (_, index): StagePlan => {
      skips.push(to);
      const from = index > 0 ? to : at(Math.max(0, level - 1));
      return {
        name: `unet_down_${level}_${index}`,
        block,
        index,
        from,
        to,
        heads: attendsDown[level] ? heads[level] : undefined,
      };
    });
    const last = level === levels - 1;
    if (!last) skips.push(to);
    return {
      stages,
      resize: last
        ? undefined
        : { name: `unet_down_${level}_resize`, path: `${block}.downsamplers.0`, channels: to },
    };
  });
  const deepest = at(levels - 1);
  const middle = [0, 1].map(
    (index): StagePlan => ({
      ...{ name: `unet_mid_${index}`, block: 'mid_block', index, from: deepest, to: deepest },
      heads: index === 0 ? heads[levels - 1] : undefined,
    }),
  ) as [StagePlan, StagePlan];
  let stream = deepest;
  const up = channels.map((_, turn): LevelPlan => {
    const level = levels - 1 - turn;
    const block = `up_blocks.${turn}`;
    const to = at(level);
    const stages = Array.from({ length: layers + 1 }, (_, index): StagePlan => {
      const from = stream + (skips.pop() as number);
      stream = to;
      return {
        name: `unet_up_${turn}_${index}`,
        block,
        index,
        from,
        to,
        heads: attendsUp[turn] ? heads[level] : undefined,
      };
    });
    return {
      stages,
      resize:
        level === 0
          ? undefined
          : { name: `unet_up_${turn}_resize`, path: `${block}.upsamplers.0`, channels: to },
    };
  });
  return { down, middle, up };
}

/** Hook points in the order of computation, beside the paths of diffusers' modules. */
export function unetHooks(config: UnetConfig): HookInfo[] {
  const { down, middle, up } = planUnet(config);
  const [first] = config.channels as [number];
  const point = (name: string, columns: number, module: string): HookInfo => ({
    name,
    shape: ['position', columns],
    module,
  });
  const ofStage = ({ name, block, index, from, to, heads }: StagePlan): HookInfo[] => {
    const path = `${block}.resnets.${index}`;
    return [
      point(`${name}.hook_norm1`, from, `${path}.norm1`),
      point(`${name}.hook_conv1`, to, `${path}.conv1`),
      point(`${name}.hook_hidden`, to, `input of ${path}.norm2`),
      point(`${name}.hook_norm2`, to, `${path}.norm2`),
      ...(from === to ? [] : [point(`${name}.hook_shortcut`, to, `${path}.conv_shortcut`)]),
      point(`${name}.hook_conv2`, to, `${path}.conv2`),
      point(`${name}.hook_resnet`, to, path),
      ...(heads === undefined
        ? []
        : transformerHooks(sizeOf(config, name, to, heads), `${block}.attentions.${index}`)),
    ];
  };
  const ofLevel = ({ stages, resize }: LevelPlan) => [
    ...stages.flatMap(ofStage),
    ...(resize ? [point(`${resize.name}.hook_out`, resize.channels, resize.path)] : []),
  ];
  return [
    point('unet_in.hook_input', config.inChannels, 'input of conv_in'),
    point('unet_in.hook_out', first, 'conv_in'),
    ...down.flatMap(ofLevel),
    ...middle.flatMap(ofStage),
    ...up.flatMap(ofLevel),
    point('unet_out.hook_norm', first, 'conv_norm_out'),
    point('unet_out.hook_out', config.outChannels, 'conv_out'),
  ];
}

/** Settings of its transformers, in the order of computation. */
export function unetConfigs(config: UnetConfig): TowerConfig[] {
  const { down, middle, up } = planUnet(config);
  const stages = [...down.flatMap(({ stages }) => stages), ...middle, ...up.flatMap(({ stages }) => stages)];
  return stages.flatMap(({ name, to, heads }) =>
    heads === undefined ? [] : [transformerConfig(sizeOf(config, name, to, heads))],
  );
}

function sizeOf({ groups, textWidth }: UnetConfig, name: string, channels: number, heads: number) {
  return { name, channels, heads, groups, textWidth };
}

export class Unet {
  readonly config: UnetConfig;
  readonly #timeInput: Linear;
  readonly #timeOutput: Linear;
  readonly #input: Linear;
  readonly #down: readonly Level[];
  readonly #middle: readonly Stage[];
  readonly #up: readonly Level[];
  readonly #norm: GroupNormWeights;
  readonly #output: Linear;

  private constructor(
    config: UnetConfig,
    parts: {
      time: readonly [Linear, Linear];
      input: Linear;
      down: readonly Level[];
      middle: readonly Stage[];
      up: readonly Level[];
      norm: GroupNormWeights;
      output: Linear;
    },
  ) {
    this.config = config;
    [this.#timeInput, this.#timeOutput] = parts.time;
    this.#input = parts.input;
    this.#down = parts.down;
    this.#middle = parts.middle;
    this.#up = parts.up;
    this.#norm = parts.norm;
    this.#output = parts.output;
  }

  /** @throws WeightsError */
  static async load(loader: WeightLoader, checkpoint: Checkpoint, config: UnetConfig): Promise<Unet> {
    const { groups, eps } = config;
    const [first] = config.channels as [number];
    const time = 4 * first;
    const plan = planUnet(config);
    const stage = async ({ name, block, index, from, to, heads }: StagePlan): Promise<Stage> => ({
      name,
      resnet: await loadResnet(loader, `${block}.resnets.${index}`, { from, to, groups, eps, time }),
      transformer:
        heads === undefined
          ? undefined
          : await loadTransformer(
              loader,
              checkpoint,
              `${block}.attentions.${index}`,
              sizeOf(config, name, to, heads),
            ),
    });
    const stagesOf = async (plans: readonly StagePlan[]) => {
      const stages: Stage[] = [];
      for (const one of plans) stages.push(await stage(one));
      return stages;
    };
    const levelsOf = async (plans: readonly LevelPlan[]) => {
      const levels: Level[] = [];
      for (const { stages, resize } of plans)
        levels.push({
          stages: await stagesOf(stages),
          resize: resize && (await loadConv(loader, `${resize.path}.conv`, resize.channels, resize.channels)),
          resizeName: resize?.name ?? '',
        });
      return levels;
    };
    return new Unet(config, {
      time: [
        await linear(loader, 'time_embedding.linear_1', time, first),
        await linear(loader, 'time_embedding.linear_2', time, time),
      ],
      input: await loadConv(loader, 'conv_in', first, config.inChannels),
      down: await levelsOf(plan.down),
      middle: await stagesOf(plan.middle),
      up: await levelsOf(plan.up),
      norm: await loadGroupNorm(loader, 'conv_norm_out', first, config),
      output: await loadConv(loader, 'conv_out', config.outChannels, first),
    });
  }

  /**
   * One prediction of every run's noise.
   *
   * @param input [runs · height · width, in channels]
   * @returns maps of [runs · height · width, out channels]
   */
  async predict(walk: MapWalk, input: FeatureMaps, timestep: number, texts: Texts): Promise<FeatureMaps> {
    const { w } = walk;
    const time = this.#time(w, timestep);
    await passMaps(walk, 'unet_in', 'hook_input', input);
    let maps = convolve(w, input, this.#input.weight, { bias: this.#input.bias });
    await passMaps(walk, 'unet_in', 'hook_out', maps);
    const skips = [maps];
    for (const { stages, resize, resizeName } of this.#down) {
      for (const one of stages) {
        maps = await this.#stage(walk, one, maps, time, texts);
        skips.push(maps);
      }
      if (!resize) continue;
      maps = convolve(w, maps, resize.weight, { bias: resize.bias, stride: 2 });
      await passMaps(walk, resizeName, 'hook_out', maps);
      skips.push(maps);
    }
    for (const one of this.#middle) {
      const before = maps;
      maps = await this.#stage(walk, one, before, time, texts);
      if (!skips.includes(before)) w.release(before.x);
    }
    for (const { stages, resize, resizeName } of this.#up) {
      for (const one of stages) {
        const skip = skips.pop() as FeatureMaps;
        const joined = joinChannels(w, maps, skip.x);
        w.release(maps.x, skip.x);
        maps = await this.#stage(walk, one, joined, time, texts);
        w.release(joined.x);
      }
      const next = skips.at(-1);
      if (!resize || !next) continue;
      // To the skip's size: half of an odd size, doubled, is one too large.
      const small = maps;
      maps = convolve(w, small, resize.weight, { bias: resize.bias, enlarged: [next.height, next.width] });
      w.release(small.x);
      await passMaps(walk, resizeName, 'hook_out', maps);
    }
    w.release(time);
    const norm = normalizeGroups(w, maps, this.#norm);
    await passMaps(walk, 'unet_out', 'hook_norm', { ...maps, x: norm });
    const active = activate(w, norm, 'silu');
    const out = convolve(w, { ...maps, x: active }, this.#output.weight, { bias: this.#output.bias });
    w.release(maps.x, norm, active);
    await passMaps(walk, 'unet_out', 'hook_out', out);
    return out;
  }

  async #stage(
    walk: MapWalk,
    { name, resnet: weights, transformer }: Stage,
    maps: FeatureMaps,
    time: Tensor,
    texts: Texts,
  ): Promise<FeatureMaps> {
    const out = await resnet(walk, name, maps, weights, time);
    return transformer ? attendMaps(walk, out, transformer, texts) : out;
  }

  /** silu of the time's embedding, which all resnets read: [1, 4 · channels]. */
  #time(w: Work, timestep: number): Tensor {
    const { weight, bias } = this.#timeInput;
    const waves = w.upload(timeWaves(timestep, this.config), 1, weight.columns, 'time');
    const hidden = matmul(w, waves, weight, { bias, activation: 'silu' });
    const time = matmul(w, hidden, this.#timeOutput.weight, {
      bias: this.#timeOutput.bias,
      activation: 'silu',
    });
    w.release(waves, hidden);
    return time;
  }
}

/** Sinusoids of a timestep, diffusers' get_timestep_embedding. @returns [first channels] */
export function timeWaves(
  timestep: number,
  { channels, sinesFirst, frequencyShift }: UnetConfig,
): Float32Array<ArrayBuffer> {
  const [count] = channels as [number];
  const half = Math.floor(count / 2);
  const waves = new Float32Array(count);
  for (let i = 0; i < half; i++) {
    const angle = timestep * Math.exp((-Math.log(10000) * i) / (half - frequencyShift));
    waves[sinesFirst ? i : half + i] = Math.sin(angle);
    waves[sinesFirst ? half + i : i] = Math.cos(angle);
  }
  return waves;
}

// Opening a model and preparing a pair.

import type { Box, TokenRole } from '../../inputs/index.ts';
import type { LoadProgress, PatchGrid, WeightDtype } from '../../models/index.ts';
import type { HeadGroup } from '../../notice/experiment/prepare.ts';
import type { StoredListing } from '../../weights/file-store.ts';
import type { PlannedBuffer } from '../../weights/index.ts';
import type { EmbeddedPair } from './embedded.ts';
import type { Task } from './task.ts';

/** Where a model comes from. */
export type ModelChoice =
  /** A miniature that lies beside the page: `blip-shapes`. */
  | { readonly kind: 'embedded'; readonly name: string }
  /** `owner/name@revision` on a hub (default Hugging Face's). The token goes to its host alone. */
  | { readonly kind: 'hub'; readonly id: string; readonly endpoint?: string; readonly token?: string }
  /** Files of a folder that the user chose, by their path in it. */
  | { readonly kind: 'folder'; readonly name: string; readonly files: ReadonlyMap<string, File> };

export interface OpenSpec {
  readonly model: ModelChoice;
  /** Default: as in the file. */
  readonly dtype?: WeightDtype;
}

/** What a model's weights would take on this device, before any is loaded. */
export interface ModelPlan {
  readonly choice: ModelChoice;
  readonly rows: readonly PlannedWeights[];
  /** Bytes of the device's largest buffer. */
  readonly limit: number;
}

export interface PlannedWeights {
  /** Undefined: as in the file. */
  readonly dtype: WeightDtype | undefined;
  readonly bytes: number;
  readonly largest: PlannedBuffer;
}

/** One tower of the model. */
export interface TowerInfo {
  readonly name: string;
  readonly layers: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly width: number;
  /** Sites that sweeps can patch: hook names without the block, in the order of the computation. */
  readonly sites: readonly SiteInfo[];
}

export interface SiteInfo {
  /** `text_encoder.attn.hook_z` */
  readonly site: string;
  /** Heads of its tensor; 0 where it has none. */
  readonly heads: number;
  readonly width: number;
}

export interface ModelInfo {
  readonly name: string;
  readonly choice: ModelChoice;
  readonly family: string;
  readonly dtype: WeightDtype | 'as in the file';
  readonly weightBytes: number;
  readonly towers: readonly TowerInfo[];
  /** The tower that reads the prompt, whose positions a prompt's tokens have. */
  readonly promptTower: string;
  /** Sites that the paper patches as modules, and the one whose heads it patches. */
  readonly moduleSites: readonly string[];
  readonly headSite: string;
  /** The attention that reads the image, `text_encoder.cross_attn`. */
  readonly imageAttention: string;
  readonly answers: 'decoder' | 'continuation';
  /** Left out of what was written when the page was built. */
  readonly device?: DeviceInfo;
}

export interface DeviceInfo {
  readonly description: string;
  readonly software: boolean;
  readonly largestBuffer: number;
}

/** A picture of the embedded data, by its path there, or one of the user's. */
export type Picture =
  | { readonly kind: 'embedded'; readonly path: string }
  | { readonly kind: 'file'; readonly name: string; readonly file: Blob };

/** What is changed about the picture in the corrupt run. */
export type ImageCorruption =
  | { readonly kind: 'picture'; readonly picture: Picture }
  /** Gaussian noise on the embeddings, `scale` times the standard deviation of the clean picture's. */
  | { readonly kind: 'noise'; readonly scale: number; readonly seed: number }
  /** The language alone: the text sees no picture, all positions stay. */
  | { readonly kind: 'no-image' }
  /** The clean picture with boxes painted over in its mean colour. */
  | { readonly kind: 'painted'; readonly boxes: readonly Box[] };

export interface PairSpec {
  /** Name of the embedded pair (`scenes/002`) if it is one. */
  readonly id?: string;
  readonly clean: Picture;
  readonly image: ImageCorruption;
  readonly question: string;
  /** The two options as they stand in the question. */
  readonly correct: string;
  readonly incorrect: string;
  /** The question of the text corruption: both options replaced. Left out: there is none. */
  readonly corruptQuestion?: string;
}

/** The two corrupt runs that a pair can have: another picture, or other options in the question. */
export type CorruptionName = 'image' | 'text';

export interface RunAnswer {
  /** What the model generates. */
  readonly answer: string;
  readonly pCorrect: number;
  readonly pIncorrect: number;
  /** logit(correct) − logit(incorrect) */
  readonly logitDifference: number;
  /** The five likeliest first tokens. */
  readonly top: readonly { readonly token: string; readonly p: number }[];
}

export interface PromptToken {
  readonly position: number;
  readonly text: string;
  readonly role: TokenRole;
}

/** What can be said of a pair without its pictures. */
export interface PairText {
  readonly spec: PairSpec;
  /** First tokens of the two options, whose logits are compared. */
  readonly correct: number;
  readonly incorrect: number;
  readonly clean: RunAnswer;
  readonly corrupt: { readonly image: RunAnswer; readonly text?: RunAnswer };
  /** Why there is no text corruption, in words. */
  readonly textProblem: string | undefined;
  /** Tokens of the prompt; an image's features are one token, at the position of the first. */
  readonly tokens: readonly PromptToken[];
  /** Tokens of the text corruption's prompt, one for one. */
  readonly corruptTokens: readonly string[] | undefined;
  /** Positions in all, image features included. */
  readonly length: number;
  /** Positions of the correct option. */
  readonly answerPositions: readonly number[];
  /** Groups of positions at which the paper patches heads. */
  readonly headGroups: readonly HeadGroup[];
  /** Where the picture's features lie on it. */
  readonly grids: readonly PatchGrid[];
}

export interface PairInfo extends PairText {
  /** As they are shown; the corrupt one is undefined where noise is added to embeddings. */
  readonly pictures: { readonly clean: Blob; readonly corrupt: Blob | undefined };
}

/** Whether the clean picture gives the correct option and the corrupt one the incorrect. */
export interface UsablePair {
  readonly id: string;
  readonly usable: boolean;
}

export interface SessionTasks {
  readonly plan: Task<ModelChoice, never, ModelPlan>;
  readonly open: Task<OpenSpec, LoadProgress, ModelInfo>;
  readonly pair: Task<PairSpec, never, PairInfo>;
  /** Files of remote models that the browser keeps; with a folder's name, after it is deleted. */
  readonly stored: Task<{ readonly forget?: string }, never, readonly StoredListing[]>;
  readonly usable: Task<readonly EmbeddedPair[], readonly UsablePair[], void>;
}

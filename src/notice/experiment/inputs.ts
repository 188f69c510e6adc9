// What a run reads from disk: manifests, generated counterparts, images.

import { nodeImages } from '../../platform/node/images.ts';
import { readManifest } from '../datasets/index.ts';
import type { TaskInput } from './context.ts';
import { generatedImages } from './generated.ts';
import type { ImageReader } from './images.ts';
import { type ExperimentSettings, taskName } from './settings.ts';

/** @throws DataError, NoticeError('data') */
export async function readInputs(
  settings: Pick<ExperimentSettings, 'data' | 'corruptions' | 'generated'>,
): Promise<{ tasks: TaskInput[]; reader: ImageReader }> {
  const tasks: TaskInput[] = [];
  for (const file of settings.data) {
    const task = taskName(file);
    const { pairs, report } = await readManifest(file);
    const generated = await generatedImages(task, pairs, settings);
    tasks.push({ task, rows: report.read, pairs, problems: report.drops, generated });
  }
  return { tasks, reader: nodeImages };
}

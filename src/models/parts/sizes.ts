import type { JsonConfig } from '../json-config.ts';
import type { TowerConfig } from '../tower/index.ts';

/**
 * Width and heads of a tower whose heads are parts of its width and have keys of their own.
 *
 * @throws NoticeError('config')
 */
export function headSizes(
  section: JsonConfig,
  defaults: { readonly width: number; readonly heads: number },
): Pick<TowerConfig, 'width' | 'heads' | 'keyHeads' | 'headSize'> {
  const width = section.size('hidden_size', defaults.width);
  const heads = section.size('num_attention_heads', defaults.heads);
  if (width % heads !== 0) section.fail(`hidden_size ${width} is not a multiple of ${heads} attention heads`);
  return { width, heads, keyHeads: heads, headSize: width / heads };
}

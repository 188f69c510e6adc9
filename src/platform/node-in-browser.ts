// What `notice-webgpu/node` is in a bundle for browsers: the same functions, each of which says what to use instead.

import { NoticeError } from '../errors.ts';

const onlyInNode = (name: string, instead: string) => (): never => {
  throw new NoticeError('usage', `${name} of notice-webgpu/node runs in Node only. In a browser ${instead}.`);
};

export const openGpu = onlyInNode('openGpu', 'import openGpu from notice-webgpu/browser');
export const nodeFolder = onlyInNode(
  'nodeFolder',
  'use httpFolder(url), hubFolder(model) or filesFolder(files) of notice-webgpu',
);
export const readImage = onlyInNode(
  'readImage',
  'fetch the file and use browserDecoder of notice-webgpu/browser',
);
export const decodeImage = onlyInNode('decodeImage', 'use browserDecoder of notice-webgpu/browser');
export const fileSource = onlyInNode('fileSource', 'use blobSource or httpSource of notice-webgpu');
export const pullModel = onlyInNode(
  'pullModel',
  'use loadFromHub of notice-webgpu, with opfsStore() of notice-webgpu/browser as cache',
);
export const nodeFetch = onlyInNode('nodeFetch', 'use fetch, which knows the browser’s proxies');
export const decodeMask = onlyInNode(
  'decodeMask',
  'use browserDecoder of notice-webgpu/browser and add whether the file is `indexed`',
);

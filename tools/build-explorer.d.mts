/** @param folder that the files are written into, in place of what it holds */
export function buildExplorer(folder: string): Promise<void>;

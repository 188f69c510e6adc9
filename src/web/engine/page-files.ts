// Files that lie beside the page: embedded models and data.

/**
 * Address of a file of the build, whatever path the page is served under. The bundler puts the worker's script into the
 * folder `assets` beside the page.
 */
export function pageFile(path: string): string {
  return new URL(`../${path}`, self.location.href).href;
}

/** @throws Error naming the file and the status */
export async function fetchPageFile(path: string, signal?: AbortSignal): Promise<Blob> {
  const response = await fetch(pageFile(path), { signal: signal ?? null });
  if (!response.ok)
    throw new Error(`${path}: the page's server says ${response.status} ${response.statusText}`);
  return response.blob();
}

// Bundles the explorer page into static files that work on any web server, also below a path (`base: './'`), and under
// the Content-Security-Policy of index.html: no inline script, nothing that is evaluated.

import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  publicDir: false,
  // The package's build for Node asks for its Buffer.
  resolve: { alias: { 'csv-stringify/sync': 'csv-stringify/browser/esm/sync' } },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: '../../dist/explorer',
    emptyOutDir: true,
    target: 'esnext',
    assetsInlineLimit: 0, // a picture inside a style sheet would be a data: address
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  worker: { format: 'es' },
});

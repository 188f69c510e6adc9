export { ActivationCache, CachedActivation } from './cache.ts';
export {
  add,
  type CustomHook,
  type Intervention,
  interpolate,
  mean,
  type PatchSource,
  replace,
  scale,
  type Target,
  zero,
} from './intervention.ts';
export { findHook, type NameFilter, parseSite, type Site, selectHooks } from './names.ts';
export { type CacheOptions, hooks, type RunOptions, runWithCache, runWithHooks } from './run.ts';

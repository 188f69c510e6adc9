// Sweeps, pinned patches and many pairs.

// biome-ignore lint/suspicious/noEmptyInterface: tasks are added by name
export interface PatchingTasks {}

// What is read off a model: attention, the logit lens, longer answers, rates.

// biome-ignore lint/suspicious/noEmptyInterface: tasks are added by name
export interface ReadingTasks {}

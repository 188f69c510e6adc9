/** One exchange with the worker: what it takes, what it tells on the way (`never`: nothing), what it gives. */
export interface Task<Args, Event, Result> {
  readonly args: Args;
  readonly event: Event;
  readonly result: Result;
}

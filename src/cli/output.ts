// What is written to stdout is what a command is for: where it cannot be written, the command has failed.

let watched = false;
let lost = false;

/** From now on a failed write to stdout is reported. Once per process. */
export function watchOutput(): void {
  if (watched) return;
  watched = true;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read the pipe has read enough, as `head` does.
    if (error.code === 'EPIPE' || lost) return;
    lost = true;
    process.exitCode ||= 1;
    console.error(`notice: stdout cannot be written: ${error.message}`);
  });
  process.stderr.on('error', () => {}); // there is nobody left to tell
}

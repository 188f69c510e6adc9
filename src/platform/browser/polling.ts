// Firefox looks whether work has been done every 100 ms, and whenever something is submitted (bug 1870699). So while
// something is waited for, an empty submission asks it to look.

/** Shorter waits are left alone, in ms. */
const PATIENCE_MS = 2;
/** Between two submissions, in ms. */
const PAUSE_MS = 4;

/** Has every wait on the adapter's devices ask for its end. */
export function askWhileWaiting(adapter: GPUAdapter): GPUAdapter {
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (...args) => askingDevice(await requestDevice(...args));
  return adapter;
}

function askingDevice(device: GPUDevice): GPUDevice {
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  const asked = async <T>(wait: Promise<T>): Promise<T> => {
    let timer = setTimeout(function ask() {
      submit([]);
      timer = setTimeout(ask, PAUSE_MS);
    }, PATIENCE_MS);
    try {
      return await wait;
    } finally {
      clearTimeout(timer);
    }
  };
  const workDone = queue.onSubmittedWorkDone.bind(queue);
  queue.onSubmittedWorkDone = () => asked(workDone());
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    const mapAsync = buffer.mapAsync.bind(buffer);
    buffer.mapAsync = (...args) => asked(mapAsync(...args));
    return buffer;
  };
  return device;
}

// Places that files can be dropped on.

import { useSignal } from '@preact/signals';

/** What an element needs to take drops, and whether something is held over it. */
export function useDropTarget(take: (dropped: DataTransfer | null) => void) {
  const over = useSignal(false);
  return {
    isOver: over.value,
    handlers: {
      onDragOver(event: DragEvent) {
        event.preventDefault();
        over.value = true;
      },
      onDragLeave() {
        over.value = false;
      },
      onDrop(event: DragEvent) {
        event.preventDefault();
        over.value = false;
        take(event.dataTransfer);
      },
    },
  };
}

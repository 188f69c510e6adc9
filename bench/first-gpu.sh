#!/bin/bash
# What to run first on a GPU that this library has not been run on: kernels' tests, `notice bench --tune`, row independence,
# LLaVA at 7B's dimensions with and without matrix units, the same in PyTorch if it is there. Needs no network and installs
# nothing; made for the folder that `node tools/first-gpu/pack.mjs FOLDER` writes (bench/README.md).
#
#   bash bench/first-gpu.sh [--minutes 9] [--json first-gpu.json] [--short] [--only REGEXP]
#
# Ends after so many minutes with status 75 if something is left: call it again, and it goes on where it stopped. All
# that has been measured is in the one JSON file, which may also be carried to another machine of the kind.
set -e
cd "$(dirname "$0")/.."
for packed in node.xz node_modules/webgpu/dist/linux-x64/dawn.node.xz; do
  [ -e "$packed" ] || continue
  file="${packed%.xz}"
  xz -dc "$packed" > "$file.part" 2> /dev/null ||
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$packed" > "$file.part"
  chmod +x "$file.part"
  mv "$file.part" "$file"
  rm "$packed"
done
[ -x node ] && export PATH="$PWD:$PATH"
exec node bench/first-gpu.mjs "$@"

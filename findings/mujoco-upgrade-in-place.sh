#!/usr/bin/env bash
# MuJoCo 3.3.7 to 4.0.0: pip upgrades it, exits 0, and it cannot be imported.
#
# Expected: after "pip install mujoco==4.0.0" over an older release the new one is there.
# Seen: "ImportError: The 'mujoco' package is installed, but its core bindings ('mujoco-core') are missing or
#   corrupted". What was one package is three in 4.0.0; pip lays mujoco-core's files into the folder mujoco and then
#   removes the old package's, which have the same names. "pip check" finds nothing. In an empty environment all works.
# Why it matters: tools that keep an environment and bring its pins up to date, as an engine beside Blender does, are
#   left without physics by a step that said it went well. Make the environment anew, or import the package afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mujoco==3.3.7 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet mujoco==4.0.0
"$folder/venv/bin/pip" check
if said=$("$folder/venv/bin/python" -c "import mujoco" 2>&1); then
  echo "Changed: MuJoCo 4.0.0 works after it was installed over 3.3.7." >&2
  exit 1
fi
echo "$said" | grep "ImportError"
if [[ $said != *"missing or corrupted"* ]]; then
  echo "Changed: MuJoCo 4.0.0 over 3.3.7 fails in another way." >&2
  exit 1
fi

#!/usr/bin/env bash
# Sets up everything the project needs; safe to repeat. Arguments name further extras: torch, cluster, lint.
#
#   system   gcc (host library), gcc-arm-none-eabi and qemu-system-arm (the emulated Cortex-M),
#            gcc-riscv64-unknown-elf and qemu-system-misc (the emulated RISC-V, 400 MB), by apt where
#            that is possible; otherwise it says what to run, and what needs them is skipped
#   Python   .venv with microtune and its studies in editable mode and the tools of its tests
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

find_python() {
    for name in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$name" ] || continue
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}

missing_packages() {
    command -v gcc >/dev/null 2>&1 || echo gcc libc6-dev
    command -v arm-none-eabi-gcc >/dev/null 2>&1 || echo gcc-arm-none-eabi
    command -v qemu-system-arm >/dev/null 2>&1 || echo qemu-system-arm
    has_venv "$1" || venv_package "$1"
}

# Apart from the others, so that a distribution without them loses only RISC-V.
missing_riscv_packages() {
    command -v riscv64-unknown-elf-gcc >/dev/null 2>&1 || echo gcc-riscv64-unknown-elf
    command -v qemu-system-riscv32 >/dev/null 2>&1 || riscv_emulator_package
}

# Newer distributions split it off qemu-system-misc.
riscv_emulator_package() {
    if apt-cache show qemu-system-riscv >/dev/null 2>&1; then
        echo qemu-system-riscv
    else
        echo qemu-system-misc
    fi
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# Debian and Ubuntu split venv off, one package per Python version.
venv_package() { "$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'; }

install_system() {
    local packages
    packages=$(missing_packages "$1" | xargs)
    install_packages "the host library and the emulated Cortex-M" "$packages"
    packages=$(missing_riscv_packages | xargs)
    install_packages "the emulated RISC-V" "$packages"
}

install_packages() {
    local purpose=$1 packages=$2 root="" command
    [ -n "$packages" ] || return 0
    if [ "$(uname)" = Darwin ]; then
        say "missing for $purpose: $packages. On macOS: brew install qemu;" \
            "brew install --cask gcc-arm-embedded; brew install riscv-software-src/riscv/riscv-tools"
        say "going on without; what needs them is skipped"
        return 0
    fi
    if [ "$(id -u)" != 0 ]; then root="sudo -n"; fi
    command="apt-get install -y --no-install-recommends $packages"
    if ! command -v apt-get >/dev/null 2>&1 || { [ -n "$root" ] && ! sudo -n true 2>/dev/null; }; then
        say "missing for $purpose: $packages. To install them: sudo apt-get update && sudo $command"
        say "going on without; what needs them is skipped"
        return 0
    fi
    say "installing system packages for $purpose: $packages"
    # shellcheck disable=SC2086
    if ! { $root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        $root env DEBIAN_FRONTEND=noninteractive $command >/dev/null; }; then
        say "could not install them; going on without, what needs them is skipped"
    fi
}

make_venv() {
    # Asking pip, not the file: an interrupted or refused creation leaves a Python without pip.
    .venv/bin/python -c 'import pip' 2>/dev/null && return 0
    if ! has_venv "$1"; then
        say "$1 has no venv module; on Debian or Ubuntu: sudo apt-get install $(venv_package "$1")"
        exit 1
    fi
    say "creating .venv with $("$1" --version)"
    "$1" -m venv --clear .venv
}

# A stamp per set of extras, named by what decides the result.
install_python() {
    local extras=$1 stamp
    stamp=".venv/.setup-$extras-$(cat pyproject.toml studies/pyproject.toml | cksum | cut -d' ' -f1)"
    [ -e "$stamp" ] && return 0
    say "installing Python packages: microtune[$extras] (log: .venv/setup.log)"
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extras]" -e studies \
        >.venv/setup.log 2>&1; then
        cat .venv/setup.log >&2
        say "pip failed; the log above says why"
        exit 1
    fi
    touch "$stamp"
}

python=$(find_python)
if [ -z "$python" ]; then
    say "no Python >= 3.11 found; install python3.11 and python3-venv (or set PYTHON=...)"
    exit 1
fi
install_system "$python"
make_venv "$python"
install_python test
for extra in "$@"; do install_python "$extra"; done

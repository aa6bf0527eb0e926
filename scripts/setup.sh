#!/usr/bin/env bash
# Make .venv with the pinned dependencies, and look for Java. Quick when nothing changed since the last time.
# With the argument browser: look for Chromium, which tests of Airflow's UI need, and for nothing else.
# With the argument classes: the classes of Spark, Kafka and Hadoop in files, .work/*.jsa, with which their JVMs start in half the time; for the tests.
# With the argument bench: what the benchmarks compare with, into .work/bench, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .work

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
install() { printf 'setup: installing %s\n' "$*"; { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y "$@"; } >.work/apt.log 2>&1 || fail "apt-get could not install $*; see .work/apt.log"; }

if [ "${1:-}" = browser ]; then
  if [ -n "${CHROMIUM:-}" ]; then
    command -v "$CHROMIUM" >/dev/null || fail "CHROMIUM is $CHROMIUM, which is not a program; point it to a Chromium or Chrome, or unset it"
  elif ! command -v chromium chromium-browser google-chrome >/dev/null; then
    may_install || fail "the tests of Airflow's UI need Chromium, and there is none; install it (on Debian: apt-get install chromium) or set CHROMIUM to the program"
    install chromium
  fi
  exit 0
fi

if [ "${1:-}" = bench ]; then # beside .venv: what they ask for must not decide what everything else runs with
  stamp=$({ .venv/bin/python -VV; cat benchmarks/requirements.txt; pwd; } | sha256sum)
  [ "$(cat .work/bench.stamp 2>/dev/null)" = "$stamp" ] && exit 0
  printf 'setup: what the benchmarks compare with, into .work/bench\n'
  rm -rf .work/bench
  UV_NATIVE_TLS=1 UV_LINK_MODE=${UV_LINK_MODE:-copy} .venv/bin/uv pip install --quiet ${CI:+--no-cache} --no-deps --python .venv/bin/python --target .work/bench --requirement benchmarks/requirements.txt
  echo "$stamp" >.work/bench.stamp
  exit 0
fi

if [ "${1:-}" = classes ]; then
  pyspark=$(.venv/bin/python -c 'import pyspark; print(pyspark.__path__[0])')
  # Java passes over the file if a jar has another time than when the file was made, as in a new .venv.
  stamp=$({ "${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1; ls -l "$pyspark/jars"; cat mlsql_runtime/submission/class_archive*.py scripts/jvm/*.py; pwd; } | sha256sum)
  [ "$(cat .work/classes.stamp 2>/dev/null)" = "$stamp" ] && exit 0
  printf 'setup: the classes that Spark, Kafka and Hadoop start with, into .work\n'
  SPARK_HOME=$pyspark .venv/bin/mlsql share-classes --folder .work >.work/classes.log 2>&1 || fail "Spark does not run; see .work/classes.log"
  PYTHONPATH=scripts/jvm .venv/bin/python -c 'import broker; broker.write_classes()' >>.work/classes.log 2>&1 || fail "Kafka does not run; see .work/classes.log"
  PYTHONPATH=scripts/jvm .venv/bin/python -c 'import hadoop; hadoop.write_classes()' >>.work/classes.log 2>&1 || fail "Hadoop does not run; see .work/classes.log"
  echo "$stamp" >.work/classes.stamp
  exit 0
fi

java_version() { # the major version of a java command, 0 when it does not run
  "$1" -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -n 1 | grep . || echo 0
}
find_java() { [ -n "${JAVA_HOME:-}" ] && echo "$JAVA_HOME/bin/java" || command -v java || true; }
java=$(find_java)
if [ -z "$java" ] || [ "$(java_version "$java")" -lt 17 ]; then
  [ -n "${JAVA_HOME:-}" ] && fail "JAVA_HOME is $JAVA_HOME, which is not Java 17 or newer; point it to one, or unset it"
  may_install || fail "Spark needs Java 17 or newer, and there is none; install one (on Debian: apt-get install openjdk-17-jre-headless; on macOS: brew install openjdk@17) or set JAVA_HOME"
  install openjdk-17-jre-headless
fi

supported='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))'
python=""
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.10; do
  if "$candidate" -c "$supported" >/dev/null 2>&1; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "no Python 3.10 to 3.13 found; install one, or name it: make PYTHON=/path/to/python3"

stamp=$({ "$python" -VV; cat pyproject.toml constraints.txt scripts/setup.sh scripts/compile_pyspark.py; pwd; } | sha256sum)
[ "$(cat .work/setup.stamp 2>/dev/null)" = "$stamp" ] && [ -x .venv/bin/airflow ] && exit 0

free=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "$free" -ge 6291456 ] || fail "the virtual environment needs about 6 GiB of disk, and only $((free / 1024)) MiB are free here; make room (the cache of uv may hold much: uv cache clean)"

printf 'setup: %s, into .venv; this takes two to six minutes, most of them for downloads\n' "$("$python" -V)"
SECONDS=0
rm -rf .venv
"$python" -m venv .venv 2>.work/venv.log || {
  may_install || fail "$python cannot make virtual environments: $(tail -n 1 .work/venv.log)"
  install python3-venv
  rm -rf .venv && "$python" -m venv .venv
}
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
# CI keeps no cache of uv: registries without ETags would fill it again in every run (PySpark alone is 1.4 GiB).
quiet=--quiet; [ -t 2 ] && quiet="" # on a terminal, uv shows its progress
UV_NATIVE_TLS=1 UV_LINK_MODE=${UV_LINK_MODE:-copy} .venv/bin/uv pip install $quiet ${CI:+--no-cache} --compile-bytecode --python .venv/bin/python --constraint constraints.txt --editable '.[dev]'
.venv/bin/python scripts/compile_pyspark.py .venv/lib/python*/site-packages/pyspark
echo "$stamp" >.work/setup.stamp
printf 'setup: done in %s seconds; source .venv/bin/activate puts its commands on the path\n' "$SECONDS"

# The daily commands. Everything is a `cargo xtask`; these are the short names. `just` alone lists them.

[private]
default:
    @"{{ just_executable() }}" --list --unsorted

# A real alert becomes an agent's Job, on a cluster of its own, until Ctrl-C
demo *arguments:
    cargo xtask demo {{ arguments }}

# Everything that CI runs
test *arguments:
    cargo xtask test {{ arguments }}

# Write the files that are made from code: crds/*.yaml
generate *arguments:
    cargo xtask generate {{ arguments }}

# Fixtures of the engines' adapters, from the real packages
agents *arguments:
    cargo xtask agents {{ arguments }}

# What the runner and the gateway cost
bench *arguments:
    cargo xtask bench {{ arguments }}

# Build the images, or try what can be tried of them without Docker
images *arguments:
    cargo xtask images {{ arguments }}

# Clippy, as strict as CI
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Format everything
fmt:
    cargo fmt --all

# A cluster in the background: control plane, node, kinds, operator
cluster-up *arguments:
    cargo xtask cluster up {{ arguments }}

# End it
cluster-down:
    cargo xtask cluster down

# Each part of it: process, address, healthy or not
cluster-status:
    cargo xtask cluster status

# The log of a part of it
cluster-logs *arguments:
    cargo xtask cluster logs {{ arguments }}

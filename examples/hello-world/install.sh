#!/usr/bin/env bash
set -eu

echo 'Hello: needs a shell and nothing else; nothing to install'

#!/usr/bin/env node
// The command. Runs the sources where they are (a checkout: Node 24.15 and later run them directly), else what was built.
import { existsSync } from 'node:fs';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(
    `writ needs Node 24.15 or later; this is ${process.version}. Put ${new URL('../node_modules/.bin', import.meta.url).pathname} first in PATH, or type npx writ in the checkout.\n`,
  );
  process.exit(1);
}

const built = new URL('../dist/main.js', import.meta.url);
const source = new URL('../src/main.ts', import.meta.url);
await import((existsSync(source) ? source : built).href);

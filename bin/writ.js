#!/usr/bin/env node
// The command. Runs the sources where they are (a checkout: Node 24.15 and later run them directly), else what was built.
import { existsSync } from 'node:fs';

const built = new URL('../dist/main.js', import.meta.url);
const source = new URL('../src/main.ts', import.meta.url);
await import((existsSync(source) ? source : built).href);

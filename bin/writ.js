#!/usr/bin/env node
// The command. Runs the built package where there is one, else the sources: Node 24.15 and later run them directly.
import { existsSync } from 'node:fs';

const built = new URL('../dist/main.js', import.meta.url);
const source = new URL('../src/main.ts', import.meta.url);
await import((existsSync(source) ? source : built).href);

import { defineConfig } from 'vitest/config';
import { TakingTurns } from './test/support/sequencer.ts';

const whole = { lines: 100, branches: 100 };
const most = { lines: 85, branches: 85 };

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: TakingTurns },
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      // A child process is not counted: main, compose and cli are covered by scenes (STYLE.md, Tools).
      exclude: ['src/main.ts', 'src/cli/**'],
      reporter: ['text-summary', 'json-summary'],
      thresholds: {
        'src/kernel/**': whole,
        'src/feed/**': whole,
        'src/credential/**': whole,
        'src/revocation/**': whole,
        'src/decision/**': whole,
        'src/session/**': whole,
        'src/evidence/**': whole,
        'src/flows/**': whole,
        'src/config/**': most,
        'src/edges/**': most,
        'src/http/**': most,
      },
    },
  },
});

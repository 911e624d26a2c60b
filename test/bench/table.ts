/** The table that `npm run bench` ends with: one row a goal, each beside what it is measured against. Pure. */

/** Empty: told for comparison, no goal. */
export interface Goal {
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Row {
  /** As in DESIGN 8. */
  readonly id: string;
  readonly what: string;
  /** What was measured, and what of the same run it stands beside, for people. */
  readonly measured: string;
  readonly baseline: string;
  /** The number that the goal is about. */
  readonly value: number;
  readonly unit: string;
  readonly goal: Goal;
  /** What a reader must know to believe it. */
  readonly note?: string;
}

/** A row whose measurement broke: the only thing, besides a wrong answer, that makes the run fail. */
export interface Unmeasured {
  readonly id: string;
  readonly what: string;
  readonly problem: string;
}

export type Outcome = Row | Unmeasured;

export function isReached({ value, goal }: Row): boolean {
  const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = goal;
  return value >= atLeast && value <= atMost;
}

const COLUMNS = ['', 'what', 'measured', 'baseline of this run', 'result', 'goal', 'reached'];

/** Lines of text, the columns aligned; notes below, by the row's id. */
export function renderTable(outcomes: readonly Outcome[]): string[] {
  const cells = [COLUMNS, ...outcomes.map(cellsOf)];
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const notes = outcomes.flatMap((row) => ('note' in row ? [`${row.id}: ${row.note}`] : []));
  return notes.length === 0 ? lines : [...lines, '', ...notes];
}

function cellsOf(row: Outcome): string[] {
  if ('problem' in row) return [row.id, row.what, `not measured: ${row.problem}`, '', '', '', 'NO'];
  const { id, what, measured, baseline, value, unit, goal } = row;
  const aim = renderGoal(goal, unit);
  const reached = aim === '' ? '' : isReached(row) ? 'yes' : 'NO';
  return [id, what, measured, baseline, `${digits(value)}${unit}`, aim, reached];
}

function renderGoal({ atLeast, atMost }: Goal, unit: string): string {
  if (atLeast !== undefined) return `>= ${atLeast}${unit}`;
  return atMost === undefined ? '' : `<= ${atMost}${unit}`;
}

/** Three significant digits, never an exponent. `reached` is judged on the value itself. */
export function digits(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}

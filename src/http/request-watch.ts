/** Who is told how long a request took: metrics. Doors call it when an answer has been given. */
export interface RequestWatch {
  /** `route` as the table of routes spells it, `*` where none matched. Never throws. */
  record(route: string, method: string, status: number, durationMs: number): void;
}

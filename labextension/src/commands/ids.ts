/**
 * The commands of nbcluster.
 *
 * Those about one cluster take its `id`; where it is left out, the cluster of
 * the active notebook is meant, else the only one there is, else the user is
 * asked.
 */
export const CommandIDs = {
  /** Show the sidebar. */
  show: 'nbcluster:show',
  /** Ask the server again. */
  refresh: 'nbcluster:refresh',
  /** Start a cluster, after a dialog. */
  create: 'nbcluster:create',
  /** Have `n` workers. */
  scale: 'nbcluster:scale',
  /** Follow the work, between `minimum` and `maximum` workers (null: as many as the server allows). */
  adapt: 'nbcluster:adapt',
  stopAdapting: 'nbcluster:stop-adapting',
  /** Let it outlive its notebook. */
  keep: 'nbcluster:keep',
  rename: 'nbcluster:rename',
  /** Start all workers afresh, after a question. */
  restart: 'nbcluster:restart',
  /** Shut down, after a question unless `sure`. */
  shutDown: 'nbcluster:shut-down',
  /** Put code that connects to the cluster into the active notebook. */
  insertCode: 'nbcluster:insert-code',
  /** Put that code into the clipboard. */
  copyCode: 'nbcluster:copy-code',
  /** Show a `page` of the dashboard in a pane of its own. */
  openDashboard: 'nbcluster:open-dashboard',
  /** Show the log in a pane of its own. */
  openLogs: 'nbcluster:open-logs'
} as const;

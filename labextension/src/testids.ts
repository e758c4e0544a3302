/**
 * What browser tests hold on to. These do not change with wording or looks.
 *
 * Every id is the value of a `data-testid` attribute. Beside it:
 *
 * - `cluster` (an entry of the sidebar), `card`, `dashboardPane` and `logsPane`
 *   have `data-cluster-id`; `cluster` and `card` also have `data-status` (the
 *   cluster's status) and `card` has `data-phase`: `loading`, `live`, `ended`
 *   (no longer running: what is shown is frozen) or `invalid`.
 * - `sidebar` has `data-phase`: `loading`, `empty`, `list` or `error`.
 * - `figureWorkers` … `figureCpu` and `tasks` have `data-value`, the bare
 *   number; `tasks` has `data-total`, `data-finished`, `data-failed`,
 *   `data-running` and `data-waiting`.
 * - `adaptSwitch` has `aria-checked`; tabs have `aria-selected`.
 * - `logLine` has `data-level` and `data-worker`.
 * - Sliders, number inputs, selects and buttons are the native elements. A
 *   slider or number takes effect half a second after the last change, or at
 *   once with Enter or when it loses the focus.
 *
 * Dialogs are JupyterLab's own: `.jp-Dialog` with `.jp-mod-accept`.
 */
export const TestIds = {
  // The sidebar; its widget has the id `nbcluster-sidebar`.
  sidebar: 'nbcluster-sidebar',
  sidebarNew: 'nbcluster-sidebar-new',
  sidebarRefresh: 'nbcluster-sidebar-refresh',
  sidebarEmpty: 'nbcluster-sidebar-empty',
  emptyNew: 'nbcluster-empty-new',
  cluster: 'nbcluster-cluster',
  collapse: 'nbcluster-collapse',

  // A card in a notebook's output.
  card: 'nbcluster-card',
  endedNotice: 'nbcluster-ended',
  tabOverview: 'nbcluster-tab-overview',
  tabWorkers: 'nbcluster-tab-workers',
  tabLogs: 'nbcluster-tab-logs',
  tabDashboard: 'nbcluster-tab-dashboard',
  tabInfo: 'nbcluster-tab-info',

  // In both.
  name: 'nbcluster-name',
  status: 'nbcluster-status',
  message: 'nbcluster-message',
  owner: 'nbcluster-owner',
  lease: 'nbcluster-lease',
  keep: 'nbcluster-keep',
  figureWorkers: 'nbcluster-figure-workers',
  figureThreads: 'nbcluster-figure-threads',
  figureMemory: 'nbcluster-figure-memory',
  figureCpu: 'nbcluster-figure-cpu',
  tasks: 'nbcluster-tasks',
  scaleSlider: 'nbcluster-scale-slider',
  scaleInput: 'nbcluster-scale-input',
  adaptSwitch: 'nbcluster-adapt-switch',
  adaptMinimum: 'nbcluster-adapt-minimum',
  adaptMaximum: 'nbcluster-adapt-maximum',
  adaptReason: 'nbcluster-adapt-reason',
  error: 'nbcluster-error',
  retry: 'nbcluster-retry',

  // What can be done to a cluster.
  insertCode: 'nbcluster-insert-code',
  openDashboard: 'nbcluster-open-dashboard',
  openLogs: 'nbcluster-open-logs',
  restart: 'nbcluster-restart',
  shutDown: 'nbcluster-shut-down',

  // Logs, in a card's tab and in a pane.
  logsPane: 'nbcluster-logs-pane',
  logs: 'nbcluster-logs',
  logLine: 'nbcluster-log-line',
  logLevel: 'nbcluster-log-level',
  logWorker: 'nbcluster-log-worker',
  logSearch: 'nbcluster-log-search',
  logFollow: 'nbcluster-log-follow',

  // The dashboard, in a card's tab and in a pane.
  dashboardPane: 'nbcluster-dashboard-pane',
  dashboardPage: 'nbcluster-dashboard-page',
  dashboardFrame: 'nbcluster-dashboard-frame',
  dashboardReload: 'nbcluster-dashboard-reload',
  dashboardLink: 'nbcluster-dashboard-link',

  // Workers and info.
  worker: 'nbcluster-worker',
  info: 'nbcluster-info',
  snippet: 'nbcluster-snippet',
  copySnippet: 'nbcluster-copy-snippet',

  // The status bar, while the active notebook has a cluster.
  statusBar: 'nbcluster-status-bar',

  // The dialog for a new cluster.
  newName: 'nbcluster-new-name',
  newWorkers: 'nbcluster-new-workers',
  newThreads: 'nbcluster-new-threads',
  newMemory: 'nbcluster-new-memory',
  newKernel: 'nbcluster-new-kernel'
} as const;

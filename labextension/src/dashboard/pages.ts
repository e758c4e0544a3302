import { URLExt } from '@jupyterlab/coreutils';
import { TranslationBundle } from '@jupyterlab/translation';

import { DASHBOARD_PAGES } from '../api/schema';

/** A page of the dashboard, by the last part of its address. */
export type Page = keyof typeof DASHBOARD_PAGES;

/** The pages of the dashboard, in their order. */
export const PAGES = Object.keys(DASHBOARD_PAGES) as readonly Page[];

/** Whether something names a page of the dashboard. */
export function isPage(value: unknown): value is Page {
  return PAGES.includes(value as Page);
}

export function pageTitle(page: Page, trans: TranslationBundle): string {
  return trans.__(DASHBOARD_PAGES[page]);
}

/**
 * Where the Jupyter server shows a page of a cluster's dashboard.
 *
 * @param id - of the cluster; see {@link isClusterId}
 */
export function dashboardUrl(
  baseUrl: string,
  id: string,
  page: Page,
  theme: 'light' | 'dark'
): string {
  const path = URLExt.join(
    baseUrl,
    'nbcluster/dashboard',
    encodeURIComponent(id),
    page
  );
  return path + URLExt.objectToQueryString({ theme });
}

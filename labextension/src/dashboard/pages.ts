import { URLExt } from '@jupyterlab/coreutils';
import { TranslationBundle } from '@jupyterlab/translation';

/** The pages of the dashboard, by the last part of their address. */
export const PAGES = ['status'] as const;

export type Page = (typeof PAGES)[number];

/** Whether something names a page of the dashboard. */
export function isPage(value: unknown): value is Page {
  return PAGES.includes(value as Page);
}

export function pageTitle(page: Page, trans: TranslationBundle): string {
  const titles: Readonly<Record<Page, string>> = {
    status: trans.__('Status')
  };
  return titles[page];
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

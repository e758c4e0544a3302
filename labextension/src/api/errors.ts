import { ServerConnection } from '@jupyterlab/services';
import { TranslationBundle } from '@jupyterlab/translation';

/** What went wrong with a request, for people. */
export function errorText(error: unknown, trans: TranslationBundle): string {
  if (error instanceof ServerConnection.NetworkError) {
    return trans.__('the Jupyter server does not answer');
  }
  return error instanceof Error ? error.message : String(error);
}

import { IThemeManager } from '@jupyterlab/apputils';
import { ISignal, Signal } from '@lumino/signaling';

/** Whether the page is light or dark, for what has its own colours: the dashboard's plots. */
export class ThemeModel {
  constructor(private readonly manager: IThemeManager | null) {
    manager?.themeChanged.connect(() => {
      this._changed.emit();
    });
  }

  get current(): 'light' | 'dark' {
    const theme = this.manager?.theme;
    return theme && !this.manager.isLight(theme) ? 'dark' : 'light';
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  private readonly _changed = new Signal<this, void>(this);
}

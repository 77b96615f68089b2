//! Site definitions by name or file: those that ship, and the user's own in `$XDG_CONFIG_HOME/wallhaul/sites`.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use url::Url;

use crate::app::environment::Environment;
use crate::config::{AnyHostSites, Settings, text};
use crate::exit::RenderedError;
use crate::job::SiteId;
use crate::report::escape;
use crate::site::{self, DirectUrls, Site, SiteError, VariableError, VariableValues};

/// The definitions that can be named.
pub(in crate::app) struct Definitions {
    /// The folder of the user's own; `None` without a home folder.
    folder: Option<PathBuf>,
    /// Whether errors in a definition are coloured.
    colored: bool,
    /// The user's values for the variables of definitions.
    values: VariableValues,
    /// The sites whose images may be on any host.
    any_host: Vec<AnyHostSites>,
}

/// A definition's text, before it is compiled.
#[derive(Debug, Clone)]
pub(in crate::app) struct Definition {
    pub(in crate::app) text: String,
    pub(in crate::app) place: DefinitionPlace,
}

/// Where a definition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) enum DefinitionPlace {
    /// In the program.
    Shipped,
    /// In a file of the user's.
    Own(PathBuf),
    /// In a file of the user's, whose name is that of a definition that ships.
    Overrides(PathBuf),
}

impl Definitions {
    /// The definitions of this user.
    pub(in crate::app) fn new(environment: &Environment, settings: &Settings) -> Self {
        let config = environment.config_file.as_deref().and_then(Path::parent);
        Self {
            folder: config.map(|folder| folder.join("sites")),
            colored: settings.output.colored(),
            values: settings.variables.clone(),
            any_host: settings.allow_any_host.clone(),
        }
    }

    /// The names of all definitions: the user's own in alphabetical order, then those that ship, the default site first.
    ///
    /// # Errors
    ///
    /// When the user's folder cannot be read.
    pub(in crate::app) fn names(&self) -> anyhow::Result<Vec<String>> {
        let own = self.own_names()?;
        let shipped = site::shipped().iter().map(|(name, _text)| *name);
        let rest: Vec<_> = shipped
            .filter(|&name| !own.contains(name))
            .map(str::to_owned)
            .collect();
        Ok(own.into_iter().chain(rest).collect())
    }

    fn own_names(&self) -> anyhow::Result<BTreeSet<String>> {
        let Some(folder) = &self.folder else {
            return Ok(BTreeSet::new());
        };
        let reading = || format!("reading the folder of your sites `{}`", folder.display());
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(error).with_context(reading),
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let name = entry.with_context(reading)?.file_name();
            // Copies of editors (`a.toml~`, `.a.toml.swp`) are no definitions.
            let stem = name.to_str().and_then(|name| name.strip_suffix(".toml"));
            names.extend(stem.filter(|stem| is_free(stem)).map(str::to_owned));
        }
        Ok(names)
    }

    /// The definition of this name: the user's own before the one that ships.
    ///
    /// # Errors
    ///
    /// When there is none, or the user's cannot be read.
    pub(in crate::app) fn find(&self, name: &str) -> anyhow::Result<Definition> {
        let shipped = site::shipped().iter().find(|(known, _text)| *known == name);
        // Only a site's name becomes a path, so that none leads out of the folder.
        let folder = self.folder.as_deref().filter(|_| is_free(name));
        if let Some(path) = folder.map(|folder| folder.join(format!("{name}.toml"))) {
            match text::read(&path) {
                Ok(text) => {
                    let place = match shipped {
                        Some(_) => DefinitionPlace::Overrides(path),
                        None => DefinitionPlace::Own(path),
                    };
                    return Ok(Definition { text, place });
                }
                Err(text::TextError::Io(error)) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| reading(&path)),
            }
        }
        match shipped {
            Some((_name, text)) => Ok(Definition {
                text: (*text).to_owned(),
                place: DefinitionPlace::Shipped,
            }),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> anyhow::Error {
        match self.names() {
            Ok(names) => site::unknown_site(name, &names).into(),
            Err(error) => error,
        }
    }

    /// The definition in the file at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(in crate::app) fn read(path: &Path) -> anyhow::Result<Definition> {
        Ok(Definition {
            text: text::read(path).with_context(|| reading(path))?,
            place: DefinitionPlace::Own(path.to_owned()),
        })
    }

    /// The definition that `argument` means: a file if it ends with `.toml` or holds a slash, else a name.
    ///
    /// # Errors
    ///
    /// As [`Definitions::find`] and [`Definitions::read`].
    pub(in crate::app) fn find_or_read(&self, argument: &str) -> anyhow::Result<Definition> {
        if argument.contains('/')
            || Path::new(argument)
                .extension()
                .is_some_and(|end| end.eq_ignore_ascii_case("toml"))
        {
            Self::read(Path::new(argument))
        } else {
            self.find(argument)
        }
    }

    /// Compiles a definition.
    ///
    /// # Errors
    ///
    /// When something in it is wrong, with its place; when a file in the folder defines a site of another name.
    pub(in crate::app) fn compile(&self, definition: &Definition) -> anyhow::Result<Site> {
        self.compile_by(definition, |text| Site::with_variables(text, &self.values))
    }

    /// Compiles a definition to be listed: examples stand in for values that only the user can give.
    ///
    /// # Errors
    ///
    /// As [`Definitions::compile`].
    pub(in crate::app) fn compile_to_show(&self, definition: &Definition) -> anyhow::Result<Site> {
        self.compile_by(definition, Site::to_show)
    }

    /// Compiles one of several definitions, which has some of the user's values or none of them; `None` if it needs
    /// another.
    ///
    /// # Errors
    ///
    /// As [`Definitions::compile`].
    pub(in crate::app) fn compile_if_complete(
        &self,
        definition: &Definition,
    ) -> anyhow::Result<Option<Site>> {
        let known = self.compile_to_show(definition)?;
        let mut values = self.values.clone();
        values.retain(|name, _value| has_variable(&known, name));
        match Site::with_variables(&definition.text, &values) {
            Err(SiteError::Variable(VariableError::Missing { .. })) => Ok(None),
            _ => self
                .compile_by(definition, |text| Site::with_variables(text, &values))
                .map(Some),
        }
    }

    /// Finds out whether each of the user's values is for a variable of one of these.
    ///
    /// # Errors
    ///
    /// When one is not.
    pub(in crate::app) fn check_variables<'a>(
        &self,
        sites: impl Iterator<Item = &'a Site>,
    ) -> anyhow::Result<()> {
        let sites: Vec<_> = sites.collect();
        let is_unknown = |name: &&String| !sites.iter().any(|site| has_variable(site, name));
        match self.values.keys().find(is_unknown) {
            Some(name) => bail!("no known site has the variable `{}` (-V)", escape(name)),
            None => Ok(()),
        }
    }

    /// The user's value that is an address on this origin, if one is: with it they named the origin themselves.
    pub(in crate::app) fn given_address(&self, base: &Url) -> Option<Url> {
        let mut addresses = self.values.values().flat_map(|value| Url::parse(value));
        addresses.find(|address| address.origin() == base.origin())
    }

    /// Whether the user allows images of this site on any host.
    pub(in crate::app) fn allows_any_host(&self, site: &SiteId) -> bool {
        self.any_host.iter().any(|allowed| match allowed {
            AnyHostSites::All => true,
            AnyHostSites::None => false,
            AnyHostSites::Site(allowed) => allowed == site,
        })
    }

    fn compile_by(
        &self,
        definition: &Definition,
        compile: impl Fn(&str) -> Result<Site, SiteError>,
    ) -> anyhow::Result<Site> {
        let file = definition.place.path().map_or_else(
            || "the definition that ships".to_owned(),
            |path| escape(&path.display().to_string()).into_owned(),
        );
        let render = |error: SiteError| RenderedError(error.render(&file, self.colored));
        let site = compile(&definition.text).map_err(render)?;
        if let Some(path) = definition.place.path() {
            let in_folder = path.parent() == self.folder.as_deref();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if in_folder && stem != Some(site.id().as_str()) {
                bail!(
                    "`{file}` defines the site `{}`: give the file that name, as `{}.toml`",
                    site.id(),
                    site.id()
                );
            }
        }
        Ok(site)
    }
}

impl DefinitionPlace {
    /// The user's file; `None` for a definition that ships.
    pub(in crate::app) fn path(&self) -> Option<&Path> {
        match self {
            Self::Shipped => None,
            Self::Own(path) | Self::Overrides(path) => Some(path),
        }
    }
}

fn has_variable(site: &Site, name: &str) -> bool {
    site.variables().iter().any(|known| known.name == name)
}

/// Whether a definition of the user's may have this name: `direct` means URLs that belong to no site.
fn is_free(name: &str) -> bool {
    SiteId::new(name).is_ok() && name != DirectUrls::NAME
}

fn reading(path: &Path) -> String {
    format!("reading the site definition `{}`", path.display())
}

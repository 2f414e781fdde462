//! Reads a manifest, and says what is wrong with it.

use std::io::{IsTerminal, Read};
use std::path::Path;

use executor::Library;
use manifest::{Manifest, Problem, Version, python_text, validation_document, validation_text};

use crate::cli::Options;
use crate::{fail, print, run};

/// A manifest's name in sentences.
pub(crate) fn name(options: &Options) -> String {
    if options.manifest == Path::new("-") {
        "<stdin>".to_owned()
    } else {
        options.manifest.display().to_string()
    }
}

/// Its text.
pub(crate) fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        bytes = executor::as_caller(|| std::fs::read(path))?;
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8 text"))
}

/// The manifest in `text`. The error is the exit code, after all problems were told.
pub(crate) fn load(options: &Options, text: &str, library: &Library) -> Result<Manifest, u8> {
    let name = name(options);
    let document = options.json || options.inspect;
    let refuse = |problems: &[Problem], tell: &dyn Fn()| {
        if document {
            print::stdout(&format!("{}\n", python_text(&validation_document(problems))));
        } else {
            // a terminal shows both streams: there ours is enough
            if !std::io::stdout().is_terminal() {
                print::stdout(&validation_text(&name, problems));
            }
            tell();
        }
        fail::INVALID
    };
    let value = manifest::parse(text).map_err(|error| {
        refuse(&[fail::syntax(&error)], &|| {
            print::error(&format!("{name}: {error}"), None)
        })
    })?;
    library
        .prepare(&manifest::mentioned(&value))
        .map_err(|error| match options.json {
            true => run::fatal(options, &error.to_string()),
            false => {
                fail::fatal(&error);
                fail::FAILED
            }
        })?;
    let loaded = manifest::load(&value, Some(library));
    if value.is_object() && Version::of(&value).is_none() {
        // not a document, whatever was asked for: callers know this line
        print::stdout("Unsupported manifest format\n");
        if !document {
            fail::problems(&name, text, loaded.as_ref().err().map_or(&[], Vec::as_slice));
        }
        return Err(fail::INVALID);
    }
    loaded.map_err(|problems| refuse(&problems, &|| fail::problems(&name, text, &problems)))
}

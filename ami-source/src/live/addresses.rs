//! Addresses in URLs of sources.

/// The ZeroMQ addresses of a list with commas.
///
/// # Errors
/// When one is none, with the example.
pub fn addresses(list: &str, example: &str) -> Result<Vec<String>, String> {
    let all: Vec<String> = list.split(',').filter(|a| !a.is_empty()).map(str::to_owned).collect();
    if all.is_empty() {
        return Err(format!("needs an address, as {example}"));
    }
    for address in &all {
        let good = match address.split_once("://") {
            Some(("tcp", rest)) => rest.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && (port == "*" || port.parse::<u16>().is_ok())
            }),
            Some(("ipc", path)) => !path.is_empty(),
            _ => false,
        };
        if !good {
            return Err(format!(
                "{address:?} is no address: write tcp://HOST:PORT or ipc://PATH, as {example}"
            ));
        }
    }
    Ok(all)
}

/// An option that names a detector: the first part of names of fields.
///
/// # Errors
/// When it has what names cannot have.
pub fn detector(key: &str, value: &str) -> Result<String, String> {
    let good = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    match !value.is_empty() && value.len() <= 100 && value.chars().all(good) {
        true => Ok(value.to_owned()),
        false => Err(format!("{key}={value}: letters, digits and _-./ make a name")),
    }
}

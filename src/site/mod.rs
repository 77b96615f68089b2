//! What is known of a site, as values: text in, values out; no net, no clock, no disk.

"""The journal: SQL remembers. Rules, their two stores, the group commit and the migrations."""

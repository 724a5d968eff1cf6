//! stub
use std::path::{Path, PathBuf};
use anyhow::Result;
use serde::{Deserialize, Serialize};
pub mod metric { 
 #[derive(Debug,Clone,PartialEq)] pub enum Metric { A } 
 impl Metric { pub const ALL: &[Metric] = &[Metric::A]; pub fn name(&self) -> &'static str { todo!() } pub fn of(&self, _p:&[f32], _l:&[f32]) -> Option<f64> { todo!() } }
 pub fn collapsed(_p:&[f32]) -> bool { todo!() }
}
pub mod batch {
 use super::Tokens;
 pub struct Batch { pub ids: Vec<i64>, pub types: Vec<i64>, pub lengths: Vec<usize>, pub labels: Vec<f32>, pub rows: usize, pub width: usize }
 impl Batch { pub fn of(_t:&Tokens,_p:&[u32],_pad:u32)->Batch { todo!() } }
 pub fn epoch_order(_n: usize, _seed:u64, _epoch:u32, _s: bool)->Vec<u32>{todo!()}
 pub fn sample(_n: usize, _k: Option<usize>, _seed:u64)->Vec<u32>{todo!()}
 pub fn by_length(_t:&Tokens)->Vec<u32>{todo!()}
}
pub struct Tokens { pub labels: Vec<f32> }
impl Tokens { pub fn len(&self)->usize {todo!()} }
pub struct Loaded { pub train: Tokens, pub dev: Vec<(String, Tokens)>, pub hash: String }
pub struct Tokenizer;
impl Tokenizer { pub fn open(_f:&Path)->Result<Tokenizer>{todo!()} }
pub fn load(_t:&Task,_k:&Tokenizer,_m:usize,_c:&Path)->Result<Loaded>{todo!()}
pub fn names()->Vec<&'static str>{todo!()}
pub fn resolve(_n:&str,_d:&[PathBuf])->Result<Task>{todo!()}
pub struct Custom { pub name:String,pub train:PathBuf,pub dev:PathBuf,pub text:Vec<String>,pub label:String,pub labels:Option<Vec<String>>,pub metric:Vec<String>,pub format:Option<String>}
impl Custom { pub fn resolve(&self)->Result<Task>{todo!()} }
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task { pub name: String, pub train: PathBuf, #[serde(skip)] pub metrics: Vec<metric::Metric> }
impl Task { pub fn headline(&self)->String{todo!()} pub fn classes(&self)->Option<i64>{todo!()} pub fn fingerprint(&self)->Result<String>{todo!()} pub fn check(&self)->Result<()>{todo!()} }
